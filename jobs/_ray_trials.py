"""Runs of a study as trials of Ray Tune: as many at once as asked for and as there is room for."""

import os
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from ray import tune
from ray.tune import Callback, ResultGrid
from ray.tune.experiment import Trial as TuneTrial

from jobs._ray import Workers, connected, in_side_thread
from jobs._study_trial import Answer, Trial, failure, run_trial
from pipeline.errors import EnvironmentFault

TUNE_ENVIRONMENT = {
    "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1",  # the runs track themselves
    "TUNE_GLOBAL_CHECKPOINT_S": "3600",  # what is finished is in the run folders
}


def run_trials(trials: Mapping[str, Trial], workers: Workers, *, ended: Callable[[str], None]) -> dict[str, Answer]:
    """Answers by name. workers: how many trials at once, and what each needs; `ended` hears the name of each.

    A trial that Ray loses answers with that error; the others go on.
    """
    os.environ.update(TUNE_ENVIRONMENT)
    requests = [{"name": name, **asdict(trial)} for name, trial in trials.items()]
    resources = {"cpu": workers.cpus} | ({"gpu": workers.gpus} if workers.gpus else {})
    with connected(workers), tempfile.TemporaryDirectory(prefix="kindred-tune-") as storage:
        tuner = tune.Tuner(
            tune.with_resources(_trainable, resources),
            param_space={"request": tune.grid_search(requests)},
            tune_config=tune.TuneConfig(max_concurrent_trials=workers.count),
            run_config=tune.RunConfig(storage_path=storage, verbose=0, callbacks=[_Listener(ended)]),
        )
        return _answers(in_side_thread(tuner.fit))


def _trainable(config: dict[str, Any]) -> dict[str, Answer]:
    request = dict(config["request"])
    del request["name"]
    return {"answer": run_trial(Trial(**request))}


class _Listener(Callback):
    """Tells of every trial that ended, however it did."""

    def __init__(self, ended: Callable[[str], None]) -> None:
        self.ended = ended

    def on_trial_complete(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object) -> None:
        self.ended(trial.config["request"]["name"])

    def on_trial_error(self, iteration: int, trials: list[TuneTrial], trial: TuneTrial, **info: object) -> None:
        self.ended(trial.config["request"]["name"])


def _answers(results: ResultGrid) -> dict[str, Answer]:
    found: dict[str, Answer] = {}
    for result in results:
        assert result.config is not None and result.metrics is not None  # noqa: S101, PT018 - every trial has them
        name = result.config["request"]["name"]
        found[name] = result.metrics["answer"] if result.error is None else _lost(result.error)
    return found


def _lost(error: Exception) -> Answer:
    message = f"Ray lost the trial: {str(error).strip().splitlines()[-1][:400]}"
    fix = "type the same command again: it goes on from the last checkpoint"
    return failure(EnvironmentFault(message, code="RAY_WORKERS", fix=fix))
