"""Probes of frozen features: how well few or many labels read the classes from them.

Protocol, the same for learned features and every control:
1. Columns are standardised by the whole training split (`fusion.py`); no label is needed for that.
2. For each percentage and draw, the labelled rows are a stratified draw from the training split. It depends on labels,
   percentage and seed alone, so every feature table is probed with the same labels.
3. C (linear) or k (kNN) is chosen with *those labels only*, by folds that hold out whole groups. Where these are
   impossible (a class known from one group only) the configured default is used, and the row says so.
4. The model is fitted again on all labelled rows of the draw and scored once on the test split.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalities.draws import derive_seed
from pipeline.errors import DataError
from pipeline.evaluate.group_intervals import group_interval
from pipeline.evaluate.label_fractions import LabelDraw, label_draws
from pipeline.evaluate.labelled import Features, Labelled, Prediction, Rows
from pipeline.evaluate.linear_probe import linear_probe
from pipeline.evaluate.neighbours import knn_probe
from pipeline.evaluate.probe_config import Method, ProbeConfig
from pipeline.evaluate.probe_row import ProbeRow
from pipeline.evaluate.scores import score

__all__ = ["ProbeConfig", "ProbeRow", "ProbeTask", "probe"]

_METHODS = {"linear": linear_probe, "knn": knn_probe}


@dataclass(frozen=True)
class ProbeTask:
    """What is predicted, for rows (N,) of a feature table.

    labels: (N,) class numbers below num_classes, -1 = none. groups: (N,) what stays together, like the subject.
    train, test: row numbers; unlabelled ones among them are not used.
    """

    labels: Rows
    groups: NDArray[np.str_]
    train: Rows
    test: Rows
    num_classes: int

    def labelled_test(self) -> Rows:
        """Test rows that have a label, as the probes see them."""
        return self.test[self.labels[self.test] >= 0]

    def labelled(self, x: Features, rows: Rows) -> Labelled:
        """Those of the rows that have a label. Raises DataError where none has."""
        kept = rows[self.labels[rows] >= 0]
        if len(kept) == 0:
            raise DataError(
                "a probe needs labelled samples in the training and in the test split",
                code="DATA_LABEL",
                expected="at least 1 labelled sample",
                got=f"{len(rows)} samples, none labelled",
            )
        return Labelled(x[kept], self.labels[kept], self.groups[kept], self.num_classes)


def probe(
    x: Features, task: ProbeTask, *, subset: str, config: ProbeConfig, seed: int, source: str = "probe"
) -> list[ProbeRow]:
    """One row per percentage and method, for standardised features x (N, D) aligned with the task."""
    train, test = task.labelled(x, task.train), task.labelled(x, task.test)
    rows = []
    for percent in config.label_percents:
        draws = label_draws(train.y, percent=percent, draws=config.draws, seed=seed)
        for method in config.methods:
            predictions = [_METHODS[method](train.select(draw.rows), test.x, config) for draw in draws]
            name = (source, subset, method, percent)
            rows.append(_row(name, draws, predictions, test=test, seed=seed))
    return rows


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return float(np.mean(known)) if len(known) == len(values) else None


def _row(
    name: tuple[str, str, Method, float],
    draws: list[LabelDraw],
    predictions: list[Prediction],
    *,
    test: Labelled,
    seed: int,
) -> ProbeRow:
    found = [score(p.classes, test.y, num_classes=test.num_classes) for p in predictions]
    correct = np.mean([p.classes == test.y for p in predictions], axis=0)
    rng = np.random.default_rng(derive_seed(seed, "interval"))
    return ProbeRow(
        *name,
        num_labels=len(draws[0].rows),
        shots=draws[0].shots,
        accuracies=tuple(s.accuracy for s in found),
        f1_macro=float(np.mean([s.f1_macro for s in found])),
        recall_min=float(np.mean([s.recall_min for s in found])),
        interval=group_interval(correct, test.groups, rng=rng),
        chosen=tuple(p.chosen for p in predictions),
        held_out=_mean([p.held_out for p in predictions]),
        confusion=np.sum([s.confusion for s in found], axis=0),
        correct=correct,
    )
