"""Pretraining job: the same loop in process or on Ray Train workers."""

import contextlib
import json
import logging
import os
import uuid
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist
from pydantic import JsonValue

from jobs._collapse import Collapses
from jobs._console import Console
from jobs._gauges import TrainingGauges
from jobs._hangs import Hangs, hang_stacks, heartbeats, signs_of_life
from jobs._poison_step import StepsOfAttempts, refuse_repeated
from jobs._ray import Workers, is_private, launch, reclaimed
from jobs._signals import STOP_FILE, graceful_stop
from jobs._silence import Silence
from jobs._stragglers import Stragglers
from jobs._worker_errors import WorkerErrors
from jobs.assemble import (
    Dataset,
    batch_reader,
    build_modalities,
    build_pretraining,
    mixture_reader,
    open_datasets,
    pretrain_identity,
)
from jobs.configs import Recipe
from jobs.mirror import mirror_of, resume_from_mirror
from jobs.order import pretraining_order
from jobs.preflight import preflight
from jobs.surroundings import surroundings_of
from pipeline import errors
from pipeline.data.ledger import LEDGER_NAME
from pipeline.data.place import parse_place
from pipeline.data.plan import Order
from pipeline.errors import EnvironmentFault, KindredError, TrainingHealthError
from pipeline.evaluate.pseudo_labels import PSEUDO_LABELS_NAME, PseudoLabels, write_pseudo_labels
from pipeline.tracking import Spool, read_spool
from pipeline.train.background_upload import BackgroundUpload
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit, FitResult
from pipeline.train.loop import run_fit
from pipeline.train.optim import parameter_groups
from pipeline.train.pretraining import Pretraining
from pipeline.train.watchdog import Watchdog
from pipeline.worker import GroupWorker, SingleWorker, Worker

PREFIX = "pretrain/"
_log = logging.getLogger(__name__)


def pretrain(recipe: Recipe, datasets: list[Dataset], folder: Path) -> FitResult:
    """Train the recipe's encoders on `datasets`, more than one for a mixture; state lives in `folder`. Resumes by
    itself."""
    recipe = recipe.absolute()
    config: dict[str, JsonValue] = {
        "recipe": recipe.model_dump_json(by_alias=True),
        "data": str(datasets[0].source),
        "folder": str(folder.resolve()),
        "command": uuid.uuid4().hex,
    }
    raised = WorkerErrors(folder, str(config["command"]))
    raised.forget()
    StepsOfAttempts(folder).forget()
    task = _task(recipe, datasets, SingleWorker(), torch.device("cpu"))
    for dataset in datasets:
        preflight(task, dataset, recipe.pretrain, folder)
    order = _order(recipe, datasets)
    if order.steps_per_epoch < 2:
        _log.warning("an epoch is one step of %d samples: lower pretrain.batch_size", recipe.pretrain.batch_size)
    mirror = mirror_of(recipe.pretrain.mirror, folder, _identity(recipe, datasets))
    resume_from_mirror(mirror, folder, order, recipe.pretrain.batch_size)
    if recipe.pretrain.workers == 0:
        with graceful_stop(folder):
            return _fit(recipe, datasets, order, folder, SingleWorker())
    workers = Workers(
        count=recipe.pretrain.workers,
        least=recipe.pretrain.min_workers,
        gpus=recipe.pretrain.gpus,
        max_failures=recipe.pretrain.max_failures,
    )
    num_steps = recipe.pretrain.epochs * order.steps_per_epoch
    stopping = (folder / STOP_FILE).exists
    watches: list[Callable[[], None]] = [_Follow(folder, num_steps)]
    if is_private():  # workers of a shared Ray may have to wait for room
        watches.append(Silence(heartbeats(folder), recipe.pretrain.hang_after_s))
    with graceful_stop(folder):
        try:
            value = launch(train_worker, config, workers, stopping=stopping, watches=watches)
        except EnvironmentFault as error:
            raise raised.first() or error from error
        if not value and (error := raised.first()):
            raise error
    return FitResult(**json.loads(str(value)))


class _Follow:
    """Shows what the workers log, their hangs and what replaces them: they have no terminal. A shared cluster exports
    it too."""

    def __init__(self, folder: Path, total: int) -> None:
        self.path, self.total, self.console = _spool_path(folder), total, Console()
        self.hangs, self.gauges = Hangs(folder), TrainingGauges(folder, total)
        self.stragglers, self.collapses = Stragglers(), Collapses()
        self.attempts, self.groups = StepsOfAttempts(folder), 1
        self.offset = self.path.stat().st_size if self.path.exists() else 0

    def __call__(self) -> None:
        self.hangs()
        self._show_new_group()
        records, self.offset = read_spool(self.path, self.offset)
        for record in records:
            if record.kind == "metrics":
                shown = {name.removeprefix(PREFIX): value for name, value in record.floats().items()}
                self.stragglers(shown)
                self.collapses(shown)
                self.gauges.note(record.step, shown)
                self.console.training(record.step, self.total, shown)
        self.gauges.export()

    def _show_new_group(self) -> None:
        if (groups := self.attempts.count()) > self.groups:
            why = "one of the workers was lost, or there is room for more"
            self.console.line(f"group {groups} of workers goes on from the last checkpoint: {why}")
            self.groups = groups


def train_worker(config: Mapping[str, JsonValue]) -> str:
    """One Ray Train worker. Our own errors are left in the run folder for the driver: Ray's would lose their type."""
    folder = Path(str(config["folder"]))
    raised = WorkerErrors(folder, str(config["command"]))
    if raised.first():
        return ""
    recipe = Recipe.model_validate_json(str(config["recipe"]))
    worker, attempts = GroupWorker(), StepsOfAttempts(folder)
    try:
        with signs_of_life(folder, worker, recipe.pretrain.hang_after_s):
            datasets = open_datasets(recipe, parse_place(str(config["data"])))
            order = _order(recipe, datasets)
            refuse_repeated(attempts, order, None if recipe.data.mix else datasets[0].index.key)
            mark = attempts.mark if worker.rank == 0 else lambda step: None
            result = _fit(recipe, datasets, order, folder, worker, mark, on_ray=True)
    except KindredError as error:
        if raised.leave(worker.rank, error) and isinstance(error, errors.Preempted | errors.TrainingHealthError):
            return ""  # every rank raised it, or its peers miss its signs of life
        raise
    finally:
        if torch.cuda.is_available():
            dist.barrier()
    return json.dumps(result.__dict__)


def _fit(
    recipe: Recipe,
    datasets: list[Dataset],
    order: Order,
    folder: Path,
    worker: Worker,
    before_step: Callable[[int], None] = lambda step: None,
    *,
    on_ray: bool = False,
) -> FitResult:
    config = recipe.pretrain
    torch.set_num_threads(config.threads)
    device = worker_device()
    torch.use_deterministic_algorithms(config.reduce == "exact", warn_only=device.type == "cuda")
    # Filling is a seventh of all kernels of a step, and finds no fault here.
    torch.utils.deterministic.fill_uninitialized_memory = False  # pyright: ignore[reportAttributeAccessIssue]
    dataset, streams = datasets[0], list(recipe.streams)
    task = _task(recipe, datasets, worker, device)
    run = Spool(_spool_path(folder), prefix=PREFIX)
    stop = folder / STOP_FILE
    groups = parameter_groups(task.module, config.optim) + parameter_groups(task.objectives, config.optim)
    identity = _identity(recipe, datasets)
    mirror = mirror_of(recipe.pretrain.mirror, folder, identity)
    fit = Fit(
        task=task,
        order=order,
        read=mixture_reader(datasets, streams) if recipe.data.mix else batch_reader(dataset, streams),
        config=config,
        worker=worker,
        store=CheckpointStore(folder / "checkpoints", uploads=BackgroundUpload(mirror)),
        run=run,
        identity=identity,
        seed=recipe.seed,
        groups=groups,
        ledger=folder / LEDGER_NAME,
        watchdog=Watchdog(hang_stacks(folder, worker.rank), floor_s=config.hang_after_s) if on_ray else Watchdog(),
        device=device,
        stop=stop.exists,
        reclaimed=reclaimed if on_ray else lambda: False,
        before_step=before_step,
        on_step=(lambda step, total, metrics: None) if on_ray else _shown_here(),
    )
    with _naming_samples(None if recipe.data.mix else dataset.index.key):
        result = run_fit(fit)
    if worker.rank == 0:
        _leave_pseudo_labels(task, folder)
    return result


def _shown_here() -> Callable[[int, int, dict[str, float]], None]:
    """Shows what training in this process logs, and warns of collapses."""
    console, collapses = Console(), Collapses()

    def show(step: int, total: int, metrics: dict[str, float]) -> None:
        collapses(metrics)
        console.training(step, total, metrics)

    return show


@contextlib.contextmanager
def _naming_samples(keys: np.ndarray | None) -> Iterator[None]:
    """Adds the keys of samples to an error that names them by idx. keys: of all samples, None for a mixture."""
    try:
        yield
    except TrainingHealthError as error:
        if keys is not None and isinstance(error.got, dict) and "samples" in error.got:
            error.got["keys"] = [str(key) for key in keys[error.got["samples"]]]
        raise


def _leave_pseudo_labels(task: Pretraining, folder: Path) -> None:
    """A cluster number of every training sample, for reports and for whoever wants them."""
    surroundings = task.surroundings
    if surroundings is None or surroundings.memory is None or not surroundings.memory.active:
        return
    rows, memory = surroundings.rows, surroundings.memory
    spaces = {name: space.labels() for name, space in memory.spaces.items()}
    labels = PseudoLabels(rows.take(np.arange(len(rows))), spaces)
    write_pseudo_labels(folder / PSEUDO_LABELS_NAME, labels)


def _task(recipe: Recipe, datasets: list[Dataset], worker: Worker, device: torch.device) -> Pretraining:
    modalities = build_modalities(recipe, datasets[0], seed=recipe.seed)
    return build_pretraining(recipe, modalities, surroundings_of(recipe, datasets, worker, device))


def _order(recipe: Recipe, datasets: list[Dataset]) -> Order:
    return pretraining_order(recipe, [dataset.index for dataset in datasets], datasets[0].manifest.labels)


def _identity(recipe: Recipe, datasets: list[Dataset]) -> dict[str, JsonValue]:
    return pretrain_identity(recipe, [each.manifest for each in datasets])


def _spool_path(folder: Path) -> Path:
    return folder.parent / "tracking" / f"{folder.name}.jsonl"


def worker_device() -> torch.device:
    """The GPU Ray gave this worker, else the CPU."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # cuBLAS is deterministic only with a fixed workspace
    return torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
