"""Fine-tune stage: train encoders with labels, from pretrained and (the control) from random weights, equal budgets."""

import numpy as np
import torch
from pydantic import JsonValue

from jobs._console import Console
from jobs._signals import STOP_FILE, graceful_stop
from jobs.assemble import Dataset, batch_reader, build_modalities, open_dataset, source_of
from jobs.configs import Recipe
from jobs.leak_audit import audit_pretraining
from jobs.pretrained import pretrained_encoders, pretraining_of
from jobs.stages import Context
from jobs.tuned import classifier_hash
from modalities.spec import Modality
from pipeline.data.plan import Plan
from pipeline.errors import ConfigError
from pipeline.evaluate.class_loss import ClassLoss, class_loss
from pipeline.evaluate.finetune import Classification, layerwise_groups
from pipeline.evaluate.label_fractions import label_draws
from pipeline.evaluate.scores import Scores, group_interval, score
from pipeline.evaluate.weights import load_weights
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.loop import Fit, run_fit
from pipeline.worker import SingleWorker

Result = dict[str, JsonValue]
BATCH = 256


def finetune(context: Context) -> Result:
    """Metrics of every label fraction, with the supervised control beside each."""
    recipe, config = context.recipe, context.recipe.finetune
    if config is None or recipe.label is None:
        return {"skipped": "the recipe has no finetune section or no label", "metrics": {}}
    dataset = open_dataset(source_of(recipe))
    audit_pretraining(recipe, dataset, pretraining_of(recipe, context.folder))
    tensors = pretrained_encoders(recipe, context.folder)
    metrics: Result = {}
    reports: Result = {}
    for percent in config.percents:
        metrics |= _one(context, dataset, percent, "finetune", tensors, reports)
        if config.supervised_control:
            metrics |= _one(context, dataset, percent, "supervised", None, reports)
    classes, streams = dataset.manifest.labels[recipe.label], _streams(recipe)
    return {
        "label": recipe.label,
        "classes": [*classes],
        "streams": [*streams],
        "weights": reports,
        "metrics": metrics,
    }


def _one(
    context: Context,
    dataset: Dataset,
    percent: float,
    method: str,
    tensors: dict[str, torch.Tensor] | None,
    reports: Result,
) -> Result:
    """Train once and score on the test split."""
    recipe, folder = context.recipe, context.folder.stage("finetune")
    blocks = None if tensors is None or recipe.finetune is None else recipe.finetune.blocks
    rows = _labelled_rows(context, dataset, percent)
    task = classification(context, dataset, _loss(context, dataset, rows), blocks=blocks)
    counts: dict[str, int] = {}
    if tensors is not None:
        counts = load_weights(task.module.encoders, tensors).counts()
        context.spool.params({f"weights/{name}": count for name, count in counts.items()})
    name = f"{method}-{percent:g}"
    _fit(context, dataset, task, rows=rows, name=name)
    if tensors is not None:
        reports[f"{percent:g}"] = {**counts, "trained": classifier_hash(task.module.state_dict())}
    found, interval = _score(context, dataset, task)
    prefix = f"finetune/{percent:g}" if method == "finetune" else f"control/supervised/fused/{percent:g}"
    metrics: Result = {f"{prefix}/accuracy": found.accuracy, f"{prefix}/f1_macro": found.f1_macro}
    metrics[f"{prefix}/recall_min"] = found.recall_min
    if interval is not None:
        metrics |= {f"{prefix}/accuracy_low": interval[0], f"{prefix}/accuracy_high": interval[1]}
    Console().line(f"{recipe.name} {name}: test accuracy {100 * found.accuracy:.1f} % ({folder})")
    return metrics


def _loss(context: Context, dataset: Dataset, rows: np.ndarray) -> ClassLoss:
    """What training minimises; classes are counted among the labelled training samples alone."""
    recipe, config = context.recipe, context.recipe.finetune
    assert config is not None  # noqa: S101 - checked by the caller
    num_classes = len(dataset.manifest.labels[str(recipe.label)])
    labels = torch.from_numpy(dataset.index.labels(str(recipe.label))[rows])
    return class_loss(config, torch.bincount(labels, minlength=num_classes))


def classification(context: Context, dataset: Dataset, loss: ClassLoss, *, blocks: int | None = None) -> Classification:
    """The task of the fine-tune stage, with random weights. blocks: number of last ones that are trained, or all."""
    recipe, config = context.recipe, context.recipe.finetune
    assert config is not None  # noqa: S101 - checked by the caller
    assert recipe.label is not None  # noqa: S101
    modalities: dict[str, Modality] = build_modalities(recipe, dataset, seed=recipe.seed)
    return Classification(
        {name: modalities[name] for name in _streams(recipe)},
        len(dataset.manifest.labels[recipe.label]),
        loss,
        seed=recipe.seed,
        augment=config.augment,
        blocks=blocks,
    )


def _streams(recipe: Recipe) -> list[str]:
    """A stream that is declared to show the label would make the task trivial."""
    return [name for name in recipe.streams if name not in recipe.leak.allow]


def _labelled_rows(context: Context, dataset: Dataset, percent: float) -> np.ndarray:
    """Training samples that keep their label: the first draw of the probes' own."""
    label, train = str(context.recipe.label), dataset.index.rows("train")
    labels = dataset.index.labels(label)
    train = train[labels[train] >= 0]
    draw = label_draws(labels[train], percent=percent, draws=1, seed=context.recipe.seed)[0]
    return train[draw.rows]


def _fit(context: Context, dataset: Dataset, task: Classification, *, rows: np.ndarray, name: str) -> None:
    recipe, config = context.recipe, context.recipe.finetune
    assert config is not None  # noqa: S101
    size = min(config.batch_size, len(rows) // config.micro_batches * config.micro_batches)
    if size < config.micro_batches:
        raise ConfigError(
            "fewer labelled samples than micro-batches", code="CONFIG_VALUE", field="finetune.micro_batches"
        )
    torch.set_num_threads(recipe.pretrain.threads * max(1, recipe.pretrain.workers))
    folder = context.folder.stage("finetune") / name
    folder.mkdir(exist_ok=True)
    rate, decay = config.optim.learning_rate, config.layer_decay
    fitted = config.model_copy(update={"batch_size": size})
    supervised = name.startswith("supervised")
    with graceful_stop(folder):
        run_fit(
            Fit(
                task=task,
                order=Plan(rows, batch_size=size, seed=recipe.seed),
                read=batch_reader(dataset, _streams(recipe), recipe.label),
                config=fitted,
                worker=SingleWorker(),
                store=CheckpointStore(folder / "checkpoints", keep=1),
                run=_Named(context, name),  # pyright: ignore[reportArgumentType]
                identity={},
                seed=recipe.seed,
                groups=layerwise_groups(
                    task.module,
                    learning_rate=rate,
                    decay=1.0 if supervised else decay,
                    weight_decay=config.optim.weight_decay,
                ),
                stop=(folder / STOP_FILE).exists,
            )
        )


class _Named:
    """Metrics of one of several trainings of a stage, told apart by name."""

    def __init__(self, context: Context, name: str) -> None:
        self.spool, self.name = context.spool, name

    def metrics(self, values: dict[str, float], step: int) -> None:
        self.spool.metrics({f"{self.name}/{key}": value for key, value in values.items()}, step)


def _score(context: Context, dataset: Dataset, task: Classification) -> tuple[Scores, tuple[float, float] | None]:
    recipe = context.recipe
    label = str(recipe.label)
    labels, test = dataset.index.labels(label), dataset.index.rows("test")
    test = test[labels[test] >= 0]
    read = batch_reader(dataset, _streams(recipe), label)
    logits = [task.predict(read(test[start : start + BATCH])) for start in range(0, len(test), BATCH)]
    guess = torch.cat(logits).argmax(dim=1).numpy()
    found = score(guess, labels[test], num_classes=len(dataset.manifest.labels[label]))
    if recipe.subject is None:
        return found, None
    groups = dataset.index.group(recipe.subject)[test].astype(str)
    return found, group_interval((guess == labels[test]).astype(float), groups, rng=np.random.default_rng(recipe.seed))
