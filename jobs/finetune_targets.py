"""Fine-tuning to targets beside the label, numbers and sets of tags, each beside the same network from scratch.

Labels are shown by the first draw of the target's probes, and scored as theirs are.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from jobs._console import Console
from jobs._tuning import Pretrained, Tuning, finetune_config, fit_tuning, tuned_streams
from jobs.assemble import Dataset, batch_reader, build_modalities
from jobs.configs import Recipe
from jobs.multi_label import multi_label_tasks
from jobs.regression import regression_tasks
from jobs.stages import Context
from pipeline.evaluate.gain import Gain
from pipeline.evaluate.label_fractions import label_draws
from pipeline.evaluate.multi_label import MultiLabelRow, MultiLabelTask, scored_tags
from pipeline.evaluate.regression import RegressionRow, RegressionTask, scored_numbers
from pipeline.evaluate.results import FUSED
from pipeline.evaluate.strongest_control import target_gains
from pipeline.evaluate.target_fit import TargetFit
from pipeline.evaluate.target_tuning import Answers, Numbers, TagSets, TargetTuning, Truth

Target: TypeAlias = RegressionTask | MultiLabelTask
Row: TypeAlias = RegressionRow | MultiLabelRow
Rows = NDArray[np.int64]
Result = dict[str, JsonValue]


@dataclass(frozen=True)
class TunedTargets:
    """Gains over the same network from scratch, metrics by full name, and target -> percent -> what is known of the
    weights."""

    gains: list[Gain]
    metrics: Result
    weights: Result


@dataclass(frozen=True)
class ShownLabels:
    """Some of a target's labels. train, validation: numbers of the samples (n,) whose labels training is shown."""

    target: Target
    percent: float
    train: Rows
    validation: Rows

    def truth(self) -> Truth:
        """What training compares outputs with."""
        target = self.target
        return Numbers.of(target, self.train) if isinstance(target, RegressionTask) else TagSets.of(target)

    def scored(self, source: str, answers: Answers, *, seed: int) -> Row:
        """The row of answers for the labelled test samples. source: `finetune` or `supervised`."""
        fit, target = TargetFit(source, FUSED, self.percent, len(self.train)), self.target
        if isinstance(target, RegressionTask):
            return scored_numbers(fit, target, [answers], seed=seed)
        return scored_tags(fit, target, [answers], seed=seed)


def learnable_targets(recipe: Recipe, dataset: Dataset) -> list[Target]:
    """Those of the recipe, none where it has none. Raises DataError where one has too few labels, or no right ones."""
    targets = [*regression_tasks(recipe, dataset), *multi_label_tasks(recipe, dataset)]
    for target in targets:
        target.learnable(target.train, "training")
        target.learnable(target.test, "test")
    return targets


def finetune_targets(
    context: Context, dataset: Dataset, pretrained: Pretrained, targets: Sequence[Target]
) -> TunedTargets:
    """Train for every target and label fraction, from pretrained weights and, where it is asked for, from random ones.

    Raises ConfigError, CheckpointError, Preempted.
    """
    config, seed = finetune_config(context.recipe), context.recipe.seed
    found = TunedTargets([], {}, {})
    for target in targets:
        groups, reports = target.groups[target.labelled_test()], Result()
        for percent in config.percents:
            shown = shown_labels(target, dataset, percent, seed=seed)
            tuned = _trained(context, pretrained.dataset, shown, pretrained)
            controls = [_trained(context, dataset, shown, None)] if config.supervised_control else []
            for each in (tuned, *controls):
                found.metrics.update(each.metrics)
            rows = [each.row for each in (tuned, *controls)]
            found.gains.extend(target_gains(rows, groups, seed=seed, own="finetune"))
            reports[f"{percent:g}"] = tuned.weights
        found.weights[f"{target.kind}/{target.name}"] = reports
    return found


def shown_labels(target: Target, dataset: Dataset, percent: float, *, seed: int) -> ShownLabels:
    """As many labels of the validation split as of the training split: else few would be helped by many."""

    def drawn(rows: Rows) -> Rows:
        rows = target.labelled(rows)
        if len(rows) == 0:
            return rows
        unclassed = np.zeros(len(rows), np.int64)  # as the probes draw: a number or a set of tags is of no class
        return rows[label_draws(unclassed, percent=percent, draws=1, seed=seed)[0].rows]

    return ShownLabels(target, percent, drawn(target.train), drawn(dataset.index.rows("validation")))


@dataclass(frozen=True)
class _Trained:
    """Scores of one training, its metrics by full name, and what is known of its weights."""

    row: Row
    metrics: Result
    weights: Result


def _trained(context: Context, dataset: Dataset, shown: ShownLabels, pretrained: Pretrained | None) -> _Trained:
    """From random weights, all of them trained, where there are no pretrained ones."""
    recipe, config, target = context.recipe, finetune_config(context.recipe), shown.target
    method = "supervised" if pretrained is None else "finetune"
    name = f"{method}-{target.kind}-{target.name}-{shown.percent:g}"
    task = _task(recipe, dataset, shown.truth(), blocks=None if pretrained is None else config.blocks)
    counts = {} if pretrained is None else pretrained.load(context, task)
    read = batch_reader(dataset, tuned_streams(recipe))

    def validation_loss() -> float:
        return task.loss_of(task.module.predictions(read, shown.validation), shown.validation)

    tuning = Tuning(task, shown.train, shown.validation, read, validation_loss)
    best = fit_tuning(context, tuning, name=name, decay=1.0 if pretrained is None else config.layer_decay)
    answers = task.truth.answers(task.module.predictions(read, target.labelled_test()))
    row = shown.scored(method, answers, seed=recipe.seed)
    _show(context, name, row)
    metrics: Result = {**row.metrics()}
    if best is not None:
        metrics[f"{row.name}/best_epoch"] = best.number
    return _Trained(row, metrics, {**counts, "validation_samples": len(shown.validation)})


def _task(recipe: Recipe, dataset: Dataset, truth: Truth, *, blocks: int | None) -> TargetTuning:
    modalities = build_modalities(recipe, dataset, seed=recipe.seed)
    chosen = {name: modalities[name] for name in tuned_streams(recipe)}
    return TargetTuning(chosen, truth, seed=recipe.seed, augment=finetune_config(recipe).augment, blocks=blocks)


def _show(context: Context, name: str, row: Row) -> None:
    if isinstance(row, RegressionRow):
        figures = f"test R2 {row.r2s[0]:.3f}, mean absolute error {row.maes[0]:.4g}"
    else:
        figures = f"test mAP {row.scores[0].map:.3f}, F1 macro {row.scores[0].f1_macro:.3f}"
    Console().line(f"{context.recipe.name} {name}: {figures} ({context.folder.stage('finetune')})")
