"""Runs of a study as trials of Ray Tune: as many at once as asked for and as there is room for."""

import os
from collections.abc import Callable, Mapping

from ray import tune
from ray.tune import Callback, ResultGrid
from ray.tune.experiment import Trial as TuneTrial
from ray.tune.logger import JsonLoggerCallback

from jobs._ray import Workers, connected, daemon_watches, in_side_thread, is_private, scratch
from jobs._ray_room import require_gpus
from jobs._study_trial import Answer, Trial, failure, run_trial
from pipeline.errors import EnvironmentFault

TUNE_ENVIRONMENT = {
    "RAY_AIR_NEW_OUTPUT": "0",  # it prints to standard output even where nothing is asked for
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the runs track themselves
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # what is finished is in the run folders
}


def run_trials(trials: Mapping[str, Trial], workers: Workers, *, ended: Callable[[str], None]) -> dict[str, Answer]:
    """Answers by name. workers: how many trials at once, and what each needs; `ended` hears the name of each.

    A trial that Ray loses answers with that error; the others go on.
    """
    os.environ.update(TUNE_ENVIRONMENT)
    resources = {"cpu": workers.cpus} | ({"gpu": workers.gpus} if workers.gpus else {})
    callbacks: list[Callback] = [_Listener(ended), JsonLoggerCallback()]  # without a log, Tune misses one at the end
    with connected(workers) as session, scratch(session, "kindred-tune-") as storage:
        require_gpus(workers.gpus, 1, private=is_private())  # the others wait for their turn
        tuner = tune.Tuner(
            tune.with_resources(tune.with_parameters(_trainable, trials=dict(trials)), resources),
            param_space={"run": tune.grid_search([*trials])},
            tune_config=tune.TuneConfig(max_concurrent_trials=workers.count),
            run_config=tune.RunConfig(storage_path=storage, verbose=0, callbacks=callbacks),
        )
        return _answers(in_side_thread(tuner.fit, *daemon_watches()))


def _trainable(config: dict[str, str], trials: dict[str, Trial]) -> dict[str, Answer]:
    return {"answer": run_trial(trials[config["run"]])}


class _Listener(Callback):
    """Tells of every trial that ended, however it did."""

    def __init__(self, ended: Callable[[str], None]) -> None:
        self.ended = ended

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object) -> None:
        self.ended(trial.config["run"])

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object) -> None:
        self.ended(trial.config["run"])


def _answers(results: ResultGrid) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    for result in results:
        assert result.config is not None and result.metrics is not None  # noqa: S101, PT018 - every trial has them
        name = result.config["run"]
        found[name] = result.metrics["answer"] if result.error is None else _lost(result.error)
    return found


def _lost(error: Exception) -> Answer:
    message = f"Ray lost the trial: {str(error).strip().splitlines()[-1][:400]}"
    fix = "type the same command again: it goes on from the last checkpoint"
    return failure(EnvironmentFault(message, code="RAY_WORKERS", fix=fix))
