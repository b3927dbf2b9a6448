"""The training of one classifier of the fine-tune stage, in a folder of its own."""

from collections.abc import Callable

import numpy as np
import torch

from jobs._labelled_samples import LabelledSamples
from jobs._signals import STOP_FILE, graceful_stop
from jobs.stages import Context
from pipeline.data.plan import Plan
from pipeline.errors import ConfigError
from pipeline.evaluate.best_epoch import BestEpoch
from pipeline.evaluate.finetune import Classification, layerwise_groups
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit
from pipeline.train.loop import run_fit
from pipeline.train.optim import parameter_groups
from pipeline.types import Batch
from pipeline.worker import SingleWorker


def fit_classifier(
    context: Context,
    task: Classification,
    samples: LabelledSamples,
    read: Callable[[np.ndarray], Batch],
    *,
    name: str,
    decay: float,
) -> BestEpoch | None:
    """Train to the last epoch, from the newest checkpoint of this name, or to the best one where `patience` is given.

    decay: of the learning rate, per block.
    """
    recipe, config = context.recipe, context.recipe.finetune
    assert config is not None  # noqa: S101 - checked by the stage
    size = min(config.batch_size, len(samples.train) // config.micro_batches * config.micro_batches)
    if size < config.micro_batches:
        raise ConfigError(
            "fewer labelled samples than micro-batches", code="CONFIG_VALUE", field="finetune.micro_batches"
        )
    torch.set_num_threads(recipe.pretrain.threads * max(1, recipe.pretrain.workers))
    order = Plan(samples.train, batch_size=size, seed=recipe.seed)
    epochs = max(config.epochs, -(-(config.min_steps or 0) // order.steps_per_epoch))
    folder = context.folder.stage("finetune") / name
    folder.mkdir(exist_ok=True)
    run = _Named(context, name)
    best = None if config.patience is None else _best_epoch(task, samples, read, run, patience=config.patience)
    with graceful_stop(folder):
        run_fit(
            Fit(
                task=task,
                order=order,
                read=read,
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
                after_epoch=lambda epoch: best is not None and best.exhausted,
            )
        )
    if best is not None:
        best.load_best()
    return best


def _best_epoch(
    task: Classification,
    samples: LabelledSamples,
    read: Callable[[np.ndarray], Batch],
    run: "_Named",
    *,
    patience: int,
) -> BestEpoch:
    """Raises ConfigError where there is nothing to validate on."""
    rows = samples.validation
    if len(rows) == 0:
        raise ConfigError(
            "the validation split has no labelled samples to stop early by",
            code="CONFIG_VALUE",
            field="finetune.patience",
            got=patience,
            fix="give the data set a validation split (data.ingest.split), or leave patience out",
        )

    def validate(step: int) -> float:
        loss = float(task.class_loss(task.logits(read, rows), samples.classes(rows)).total())
        run.metrics({"loss/validation": loss}, step + 1)
        return loss

    return task.stop_early(validate, patience=patience)


class _Named:
    """Metrics of one of several trainings of a stage, told apart by name."""

    def __init__(self, context: Context, name: str) -> None:
        self.spool, self.name = context.spool, name

    def metrics(self, values: dict[str, float], step: int) -> None:
        self.spool.metrics({f"{self.name}/{key}": value for key, value in values.items()}, step)
