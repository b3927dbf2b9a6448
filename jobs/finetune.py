"""Fine-tune stage: train encoders with labels, from pretrained and (the control) from random weights, equal budgets."""

import numpy as np
import torch
from pydantic import JsonValue

from jobs._classifier_fit import fit_classifier
from jobs._console import Console
from jobs._labelled_samples import LabelledSamples, labelled_samples
from jobs.assemble import Dataset, batch_reader, build_modalities, open_dataset, source_of
from jobs.configs import Recipe
from jobs.leak_audit import audit_pretraining
from jobs.pretrained import pretrained_encoders, pretraining_of
from jobs.stages import Context
from jobs.tuned import classifier_hash
from modalities.spec import Modality
from pipeline.evaluate.class_loss import ClassLoss, class_loss
from pipeline.evaluate.classifier_metrics import classifier_metrics
from pipeline.evaluate.finetune import Classification
from pipeline.evaluate.finetune_config import FinetuneConfig
from pipeline.evaluate.scores import group_interval
from pipeline.evaluate.temperature import fit_temperature
from pipeline.evaluate.weights import load_weights

Result = dict[str, JsonValue]


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
        samples = labelled_samples(recipe, dataset, percent)
        tuned, reports[f"{percent:g}"] = _finetuned(context, dataset, samples, tensors)
        metrics |= {f"finetune/{percent:g}/{name}": value for name, value in tuned.items()}
        if config.supervised_control:
            control = _supervised(context, dataset, samples)
            metrics |= {f"control/supervised/fused/{percent:g}/{name}": value for name, value in control.items()}
    classes, streams = dataset.manifest.labels[recipe.label], _streams(recipe)
    return {
        "label": recipe.label,
        "classes": [*classes],
        "streams": [*streams],
        "weights": reports,
        "metrics": metrics,
    }


def _finetuned(
    context: Context, dataset: Dataset, samples: LabelledSamples, tensors: dict[str, torch.Tensor]
) -> tuple[dict[str, float], Result]:
    """Metrics of the pretrained encoders after training, and what is known of the weights."""
    config = _config(context.recipe)
    task = classification(context, dataset, class_loss(config, samples.class_counts()), blocks=config.blocks)
    counts = load_weights(task.module.encoders, tensors).counts()
    context.spool.params({f"weights/{name}": count for name, count in counts.items()})
    metrics = _trained(context, dataset, task, samples, method="finetune", decay=config.layer_decay)
    report: Result = {
        **counts,
        "trained": classifier_hash(task.module.state_dict()),
        "temperature": metrics.get("temperature"),
        "validation_samples": len(samples.validation),
    }
    return metrics, report


def _supervised(context: Context, dataset: Dataset, samples: LabelledSamples) -> dict[str, float]:
    """Metrics of the same network, all of it trained from random weights."""
    task = classification(context, dataset, class_loss(_config(context.recipe), samples.class_counts()))
    return _trained(context, dataset, task, samples, method="supervised", decay=1.0)


def _trained(
    context: Context, dataset: Dataset, task: Classification, samples: LabelledSamples, *, method: str, decay: float
) -> dict[str, float]:
    """Train, calibrate on validation samples where there are labelled ones, and score on the test split once."""
    recipe, name = context.recipe, f"{method}-{samples.percent:g}"
    read = batch_reader(dataset, _streams(recipe), recipe.label)
    best = fit_classifier(context, task, samples, read, name=name, decay=decay)
    temperature, held_out = None, {}
    if len(samples.validation):
        validated, known = task.logits(read, samples.validation), samples.classes(samples.validation)
        temperature = fit_temperature(validated, known)
        held_out = {"validation_accuracy": float((validated.argmax(dim=1) == known).double().mean())}
    logits, y = task.logits(read, samples.test), samples.classes(samples.test)
    metrics = held_out | classifier_metrics(logits, y, temperature=temperature)
    if recipe.subject is not None:
        groups, hits = dataset.index.group(recipe.subject)[samples.test].astype(str), logits.argmax(dim=1) == y
        interval = group_interval(hits.double().numpy(), groups, rng=np.random.default_rng(recipe.seed))
        if interval is not None:
            metrics |= {"accuracy_low": interval[0], "accuracy_high": interval[1]}
    if best is not None:
        metrics["best_epoch"] = best.number
    _show(context, name, metrics)
    return metrics


def _show(context: Context, name: str, metrics: dict[str, float]) -> None:
    calibration = "not calibrated, the validation split has no labelled samples"
    if "ece_calibrated" in metrics:
        calibration = f"calibration error {100 * metrics['ece']:.1f} -> {100 * metrics['ece_calibrated']:.1f} %"
    accuracy = f"test accuracy {100 * metrics['accuracy']:.1f} %"
    Console().line(f"{context.recipe.name} {name}: {accuracy}, {calibration} ({context.folder.stage('finetune')})")


def _config(recipe: Recipe) -> FinetuneConfig:
    assert recipe.finetune is not None  # noqa: S101 - checked by the stage
    return recipe.finetune


def classification(context: Context, dataset: Dataset, loss: ClassLoss, *, blocks: int | None = None) -> Classification:
    """The task of the fine-tune stage, with random weights. blocks: number of last ones that are trained, or all."""
    recipe = context.recipe
    modalities: dict[str, Modality] = build_modalities(recipe, dataset, seed=recipe.seed)
    return Classification(
        {name: modalities[name] for name in _streams(recipe)},
        len(dataset.manifest.labels[str(recipe.label)]),
        loss,
        seed=recipe.seed,
        augment=_config(recipe).augment,
        blocks=blocks,
    )


def _streams(recipe: Recipe) -> list[str]:
    """A stream that is declared to show the label would make the task trivial."""
    return [name for name in recipe.streams if name not in recipe.leak.allow]
