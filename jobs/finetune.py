"""Fine-tune stage: train encoders with labels, from pretrained and (the control) from random weights, equal budgets.

The label has the head that the recipe chooses; targets beside it have a linear output.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from pydantic import JsonValue

from jobs._console import Console
from jobs._dataset_summary import check_columns
from jobs._labelled_samples import LabelledSamples, labelled_samples
from jobs._tuning import Pretrained, Tuning, finetune_config, fit_tuning, tuned_streams
from jobs.assemble import Dataset, batch_reader, build_modalities, open_dataset, source_of
from jobs.configs import Recipe
from jobs.finetune_targets import finetune_targets, learnable_targets
from jobs.leak_audit import audit_pretraining
from jobs.pretrained import pretrained_encoders, pretraining_of
from jobs.stages import Context
from jobs.step_labels import labelled_stream, time_patching
from jobs.transfer import transfer
from jobs.tuned import classifier_hash
from modalities.draws import derive_seed
from modalities.spec import Modality
from pipeline.errors import ConfigError
from pipeline.evaluate.class_loss import ClassLoss, class_loss
from pipeline.evaluate.classifier_metrics import classifier_metrics
from pipeline.evaluate.finetune import Classification, StepClasses, Supervision
from pipeline.evaluate.gain import Gain, paired
from pipeline.evaluate.group_intervals import group_interval
from pipeline.evaluate.results import FUSED
from pipeline.evaluate.temperature import fit_temperature
from pipeline.heads.spec import Attribute

Result = dict[str, JsonValue]


@dataclass(frozen=True)
class Scored:
    """Metrics by name, and what was right of the labelled test samples, float32 (N,)."""

    metrics: dict[str, float]
    correct: NDArray[np.float32]


def finetune(context: Context) -> Result:
    """Metrics of every label fraction of the label and of every target, with the supervised control beside each."""
    recipe = context.recipe
    if recipe.finetune is None or not recipe.is_probed:
        return {"skipped": "the recipe has no finetune section or no label", "metrics": {}}
    dataset = open_dataset(source_of(recipe), recipe.aliases)
    check_columns(recipe, dataset.manifest, dataset.index)
    audit_pretraining(recipe, dataset, pretraining_of(recipe, context.folder))
    targets = learnable_targets(recipe, dataset)  # before hours are spent on the label
    tensors, moved = pretrained_encoders(recipe, context.folder), transfer(recipe, context.folder, dataset)
    moved.show(Console())
    pretrained = Pretrained(tensors, moved.dataset)
    label = _Part({"streams": [*tuned_streams(recipe)]}, [], {})
    if recipe.label is not None:
        label = _finetuned_label(context, dataset, pretrained)
    tuned = finetune_targets(context, dataset, pretrained, targets)
    found = [*label.gains, *tuned.gains]
    gained: Result = {name: value for gain in found for name, value in gain.metrics().items()}
    return {
        **label.document,
        **({"targets": tuned.weights} if targets else {}),
        "gains": [gain.model_dump() for gain in found],
        "channels": {name: {key: [*names] for key, names in own.items()} for name, own in moved.channels.items()},
        "metrics": {**label.metrics, **tuned.metrics, **gained},
    }


@dataclass(frozen=True)
class _Part:
    """What the stage says of the label."""

    document: Result
    gains: list[Gain]
    metrics: Result


def _finetuned_label(context: Context, dataset: Dataset, pretrained: Pretrained) -> _Part:
    recipe, config = context.recipe, finetune_config(context.recipe)
    metrics: Result = {}
    reports: Result = {}
    found: list[Gain] = []
    for percent in config.percents:
        samples = labelled_samples(recipe, dataset, percent)
        tuned, reports[f"{percent:g}"] = _finetuned(context, samples, pretrained)
        metrics |= {f"finetune/{percent:g}/{name}": value for name, value in tuned.metrics.items()}
        if config.supervised_control:
            control = _supervised(context, dataset, samples)
            metrics |= {f"control/supervised/fused/{percent:g}/{n}": value for n, value in control.metrics.items()}
            found += _gain(samples, tuned, control, seed=recipe.seed)
    document: Result = {
        "label": recipe.label,
        "classes": [*dataset.manifest.labels[str(recipe.label)]],
        "streams": [*tuned_streams(recipe)],
        "trained_with": config.head.model_dump(mode="json"),
        "weights": reports,
    }
    return _Part(document, found, metrics)


def _gain(samples: LabelledSamples, tuned: Scored, control: Scored, *, seed: int) -> list[Gain]:
    """Over the same network from scratch, where it is known which test samples belong together."""
    groups = samples.test_groups
    if groups is None:
        return []
    compared = Gain(
        method="finetune",
        subset=FUSED,
        percent=samples.percent,
        shots=None,
        control="supervised",
        num_controls=1,
        num_groups=len(np.unique(groups)),
        difference=tuned.metrics["accuracy"] - control.metrics["accuracy"],
    )
    rng = np.random.default_rng(derive_seed(seed, "gain", f"finetune/{samples.percent:g}"))
    return [paired(compared, tuned.correct, control.correct, groups, rng=rng)]


def _finetuned(context: Context, samples: LabelledSamples, pretrained: Pretrained) -> tuple[Scored, Result]:
    """Scores of the pretrained encoders after training, and what is known of the weights."""
    config, dataset = finetune_config(context.recipe), pretrained.dataset
    task = classification(context, dataset, class_loss(config, samples.class_counts()), blocks=config.blocks)
    counts = pretrained.load(context, task)
    scored = _trained(context, dataset, task, samples, method="finetune", decay=config.layer_decay)
    report: Result = {
        **counts,
        "trained": classifier_hash(task.module.state_dict()),
        "temperature": scored.metrics.get("temperature"),
        "validation_samples": len(samples.validation),
    }
    return scored, report


def _supervised(context: Context, dataset: Dataset, samples: LabelledSamples) -> Scored:
    """Scores of the same network, all of it trained from random weights."""
    task = classification(context, dataset, class_loss(finetune_config(context.recipe), samples.class_counts()))
    return _trained(context, dataset, task, samples, method="supervised", decay=1.0)


def _trained(
    context: Context, dataset: Dataset, task: Classification, samples: LabelledSamples, *, method: str, decay: float
) -> Scored:
    """Train, calibrate on validation samples where there are labelled ones, and score on the test split once."""
    recipe, name = context.recipe, f"{method}-{samples.percent:g}"
    steps = task.supervision.steps
    read = batch_reader(dataset, tuned_streams(recipe), recipe.label, () if steps is None else (steps.name,))

    def validation_loss() -> float:
        logits = task.module.predictions(read, samples.validation)
        return float(task.supervision.class_loss(logits, samples.classes(samples.validation)).total())

    tuning = Tuning(task, samples.train, samples.validation, read, validation_loss)
    best = fit_tuning(context, tuning, name=name, decay=decay)
    temperature, held_out = None, {}
    if len(samples.validation):
        validated, known = task.module.predictions(read, samples.validation), samples.classes(samples.validation)
        temperature = fit_temperature(validated, known)
        held_out = {"validation_accuracy": float((validated.argmax(dim=1) == known).double().mean())}
    logits, y = task.module.predictions(read, samples.test), samples.classes(samples.test)
    metrics = held_out | classifier_metrics(logits, y, temperature=temperature)
    correct = (logits.argmax(dim=1) == y).float().numpy()
    if samples.test_groups is not None:
        interval = group_interval(correct, samples.test_groups, rng=np.random.default_rng(recipe.seed))
        if interval is not None:
            metrics |= {"accuracy_low": interval[0], "accuracy_high": interval[1]}
    if best is not None:
        metrics["best_epoch"] = best.number
    _show(context, name, metrics)
    return Scored(metrics, correct)


def _show(context: Context, name: str, metrics: dict[str, float]) -> None:
    calibration = "not calibrated, the validation split has no labelled samples"
    if "ece_calibrated" in metrics:
        calibration = f"calibration error {100 * metrics['ece']:.1f} -> {100 * metrics['ece_calibrated']:.1f} %"
    accuracy = f"test accuracy {100 * metrics['accuracy']:.1f} %"
    Console().line(f"{context.recipe.name} {name}: {accuracy}, {calibration} ({context.folder.stage('finetune')})")


def classification(context: Context, dataset: Dataset, loss: ClassLoss, *, blocks: int | None = None) -> Classification:
    """The task of the fine-tune stage, with random weights. blocks: number of last ones that are trained, or all."""
    recipe = context.recipe
    modalities: dict[str, Modality] = build_modalities(recipe, dataset, seed=recipe.seed)
    head = finetune_config(recipe).head
    attributes = {name: _attribute(dataset, name) for name in head.attribute_columns}
    return Classification(
        {name: modalities[name] for name in tuned_streams(recipe)},
        Supervision(
            len(dataset.manifest.labels[str(recipe.label)]),
            loss,
            head,
            attributes,
            None if head.steps_of is None else _steps(recipe, dataset, head.steps_of, modalities),
        ),
        seed=recipe.seed,
        augment=finetune_config(recipe).augment,
        blocks=blocks,
    )


def _steps(recipe: Recipe, dataset: Dataset, label: str, modalities: Mapping[str, Modality]) -> StepClasses:
    stream = labelled_stream(
        dataset.manifest.step_labels, label, tuned_streams(recipe), field="finetune.head.step_label"
    )
    classes = dataset.manifest.step_labels[label].classes
    return StepClasses(label, stream, len(classes), time_patching(modalities[stream].encoder, stream).steps)


def _attribute(dataset: Dataset, name: str) -> Attribute:
    """Raises ConfigError where the data set has no such column."""
    known = dataset.manifest.labels
    if name not in known:
        raise ConfigError(
            f"{name!r} is no label column",
            code="CONFIG_VALUE",
            field="finetune.head.attributes",
            expected=sorted(known),
            got=name,
        )
    return Attribute(torch.from_numpy(dataset.index.labels(name)), len(known[name]))
