"""One training of the fine-tune stage, of encoders and what they predict, in a folder of its own."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs._console import Console
from jobs._signals import STOP_FILE, graceful_stop
from jobs.assemble import Dataset
from jobs.configs import Recipe
from jobs.stages import Context
from pipeline.data.plan import Plan
from pipeline.errors import ConfigError
from pipeline.evaluate.best_epoch import BestEpoch
from pipeline.evaluate.finetune import Classification
from pipeline.evaluate.finetune_config import FinetuneConfig
from pipeline.evaluate.layerwise_groups import layerwise_groups
from pipeline.evaluate.target_tuning import TargetTuning
from pipeline.evaluate.weights import load_weights
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit
from pipeline.train.loop import run_fit
from pipeline.train.optim import parameter_groups
from pipeline.types import Batch
from pipeline.worker import SingleWorker

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Tuning:
    """What is trained on whose labels. train, validation: numbers (n,) of the labelled samples that it is shown.

    validation_loss: of the present weights, over the validation samples; never called where there are none.
    """

    task: Classification | TargetTuning
    train: Rows
    validation: Rows
    read: Callable[[np.ndarray], Batch]
    validation_loss: Callable[[], float]


def finetune_config(recipe: Recipe) -> FinetuneConfig:
    """The section of a recipe whose fine-tune stage runs."""
    assert recipe.finetune is not None  # noqa: S101 - checked by the stage
    return recipe.finetune


def tuned_streams(recipe: Recipe) -> list[str]:
    """A stream that is declared to show the label would make the task trivial."""
    return [name for name in recipe.streams if name not in recipe.leak.allow]


@dataclass(frozen=True)
class Pretrained:
    """Tensors of the encoders that training starts from, and the data set as these read it."""

    tensors: Mapping[str, Tensor]
    dataset: Dataset

    def load(self, context: Context, task: Classification | TargetTuning) -> dict[str, int]:
        """Into the encoders of a task. Number of tensors by sort. Raises CheckpointError."""
        counts = load_weights(task.module.encoders, self.tensors).counts()
        context.spool.params({f"weights/{name}": count for name, count in counts.items()})
        return counts


def fit_tuning(context: Context, tuning: Tuning, *, name: str, decay: float) -> BestEpoch | None:
    """Train to the last epoch, from the newest checkpoint of this name, or to the best one where `patience` is given.

    decay: of the learning rate, per block.
    """
    recipe, config, task = context.recipe, finetune_config(context.recipe), tuning.task
    size = min(config.batch_size, len(tuning.train) // config.micro_batches * config.micro_batches)
    if size < config.micro_batches:
        raise ConfigError(
            "fewer labelled samples than micro-batches", code="CONFIG_VALUE", field="finetune.micro_batches"
        )
    torch.set_num_threads(recipe.pretrain.threads * max(1, recipe.pretrain.workers))
    order = Plan(tuning.train, batch_size=size, seed=recipe.seed)
    epochs = max(config.epochs, -(-(config.min_steps or 0) // order.steps_per_epoch))
    folder = context.folder.stage("finetune") / name
    folder.mkdir(exist_ok=True)
    run = _Named(context, name)
    best = None if config.patience is None else _best_epoch(tuning, run, patience=config.patience)
    steps = epochs * order.steps_per_epoch
    with graceful_stop(folder), Console().progress(f"{name} steps", steps) as advance:
        run_fit(
            Fit(
                task=task,
                order=order,
                read=tuning.read,
                config=config.model_copy(update={"batch_size": size, "epochs": epochs}),
                worker=SingleWorker(),
                store=CheckpointStore(folder / "checkpoints", keep=1),
                run=run,  # pyright: ignore[reportArgumentType]
                identity={},
                seed=recipe.seed,
                groups=layerwise_groups(
                    task.module,
                    learning_rate=config.optim.learning_rate,
                    decay=decay,
                    weight_decay=config.optim.weight_decay,
                )
                + parameter_groups(task.objectives, config.optim),
                stop=(folder / STOP_FILE).exists,
                on_step=lambda step, total, metrics: advance(step),
                after_epoch=lambda epoch: best is not None and best.exhausted,
            )
        )
    if best is not None:
        best.load_best()
    return best


def _best_epoch(tuning: Tuning, run: "_Named", *, patience: int) -> BestEpoch:
    """Raises ConfigError where there is nothing to validate on."""
    if len(tuning.validation) == 0:
        raise ConfigError(
            f"{run.name}: the validation split has no labelled samples to stop early by",
            code="CONFIG_VALUE",
            field="finetune.patience",
            got=patience,
            fix="give the data set a validation split (data.ingest.split), or leave patience out",
        )

    def validate(step: int) -> float:
        loss = tuning.validation_loss()
        run.metrics({"loss/validation": loss}, step + 1)
        return loss

    tuning.task.kept = BestEpoch(tuning.task.module, validate, patience=patience)
    return tuning.task.kept


class _Named:
    """Metrics of one of several trainings of a stage, told apart by name."""

    def __init__(self, context: Context, name: str) -> None:
        self.spool, self.name = context.spool, name

    def metrics(self, values: dict[str, float], step: int) -> None:
        self.spool.metrics({f"{self.name}/{key}": value for key, value in values.items()}, step)
