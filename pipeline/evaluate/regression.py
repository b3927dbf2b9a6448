"""Regression probes of frozen features: how well few or many labels read a number from them.

The protocol is that of `probe.py`: features standardised by the training split, labelled rows drawn from it by share
and seed alone (the same ones for every feature table), alpha chosen with those rows only, by folds that hold out whole
groups, and one score on the test split.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional import mean_absolute_error, r2_score

from modalities.draws import derive_seed
from pipeline.errors import DataError
from pipeline.evaluate.controls import ProbeInput
from pipeline.evaluate.group_intervals import Interval, group_interval, group_resamples, percentile_interval
from pipeline.evaluate.label_fractions import label_draws
from pipeline.evaluate.probe_config import ProbeConfig
from pipeline.evaluate.regression_config import RegressionConfig
from pipeline.evaluate.ridge import Features, Targets, Values, choose_alpha, ridge_path
from pipeline.evaluate.target_fit import TargetFit

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class RegressionTask:
    """name: of the target. values: (N,) its numbers, NaN = none; groups, train and test as in `ProbeTask`."""

    name: str
    values: Values
    groups: NDArray[np.str_]
    train: Rows
    test: Rows
    kind: ClassVar[Literal["regression"]] = "regression"

    def labelled(self, rows: Rows) -> Rows:
        """Those of the rows that have a number."""
        return rows[~np.isnan(self.values[rows])]

    def labelled_test(self) -> Rows:
        """Test rows that have a number, as the probes see them."""
        return self.labelled(self.test)

    def learnable(self, rows: Rows, split: str) -> Rows:
        """Those of the rows that have a number. Raises DataError where they are too few or all the same."""
        kept = self.labelled(rows)
        if len(np.unique(self.values[kept])) < 2:
            raise DataError(
                f"the {split} split has fewer than two different numbers of {self.name}",
                code="DATA_LABEL",
                field=self.name,
                got=f"{len(kept)} of {len(rows)} samples have one",
                fix="leave it out of regression.targets, or label more",
            )
        return kept

    def targets(self, x: Features, rows: Rows, split: str) -> Targets:
        """Features of `learnable` rows with their numbers. Raises DataError as that does."""
        kept = self.learnable(rows, split)
        return Targets(x[kept], self.values[kept], self.groups[kept])


@dataclass(frozen=True)
class RegressionRow:
    """Results of a ridge probe on one feature table, or of tuned encoders, at one percentage of labels.

    r2s, maes and alphas: per label draw. Intervals: 95 %, over test groups; None where there is only one. validated:
    whether held-out groups chose alpha; tuned encoders have none.
    samples: (N,) what each labelled test sample adds to R2, their mean: 1 - its mean squared error / variance.
    """

    target: str
    source: str
    subset: str
    percent: float
    num_labels: int
    r2s: tuple[float, ...]
    maes: tuple[float, ...]
    r2_interval: Interval | None
    mae_interval: Interval | None
    samples: Values = field(compare=False)
    alphas: tuple[float, ...] = ()
    validated: bool = False
    kind: ClassVar[Literal["regression"]] = "regression"

    @property
    def name(self) -> str:
        """Prefix of its metrics."""
        return f"{self.kind}/{self.target}/{self.source}/{self.subset}/{self.percent:g}"

    def metrics(self) -> dict[str, float]:
        """Flat metrics by full name."""
        found = {"r2": float(np.mean(self.r2s)), "mae": float(np.mean(self.maes))}
        if len(self.r2s) > 1:
            found["r2_sd"] = float(np.std(self.r2s, ddof=1))
        for name, interval in (("r2", self.r2_interval), ("mae", self.mae_interval)):
            if interval is not None:
                found |= {f"{name}_low": interval[0], f"{name}_high": interval[1]}
        return {f"{self.name}/{name}": value for name, value in found.items()}


def regression_probe(
    given: ProbeInput, task: RegressionTask, *, config: RegressionConfig, probe: ProbeConfig, seed: int
) -> list[RegressionRow]:
    """One row per percentage, for features aligned with the task."""
    train, test = task.targets(given.x, task.train, "training"), task.targets(given.x, task.test, "test")
    rows = []
    for percent in probe.label_percents:
        draws = label_draws(np.zeros(len(train.y), np.int64), percent=percent, draws=probe.draws, seed=seed)
        predicted, alphas, validated = [], [], True
        for draw in draws:
            own = train.select(draw.rows)
            chosen = choose_alpha(own, config.alphas, folds=probe.folds)
            alpha = config.default_alpha if chosen is None else chosen
            predicted.append(ridge_path(own.x, own.y, [alpha])[0].predict(test.x))
            alphas.append(alpha)
            validated &= chosen is not None
        fit = TargetFit(given.source, given.subset, percent, num_labels=len(draws[0].rows))
        row = scored_numbers(fit, task, predicted, seed=seed)
        rows.append(replace(row, alphas=tuple(alphas), validated=validated))
    return rows


def scored_numbers(fit: TargetFit, task: RegressionTask, predicted: Sequence[Values], *, seed: int) -> RegressionRow:
    """Scores of numbers (M,), one array per label draw, predicted for the labelled test samples of a task."""
    rows = task.labelled_test()
    y, groups = task.values[rows], task.groups[rows]
    truth, guesses = torch.from_numpy(y), [torch.from_numpy(guess) for guess in predicted]
    r2_interval, mae_interval = _intervals(predicted, y, groups, seed=seed)
    return RegressionRow(
        task.name,
        fit.source,
        fit.subset,
        fit.percent,
        fit.num_labels,
        r2s=tuple(float(r2_score(guess, truth)) for guess in guesses),
        maes=tuple(float(mean_absolute_error(guess, truth)) for guess in guesses),
        r2_interval=r2_interval,
        mae_interval=mae_interval,
        samples=1.0 - np.mean([(guess - y) ** 2 for guess in predicted], axis=0) / y.var(),
    )


def _intervals(
    predicted: Sequence[Values], y: Values, groups: NDArray[np.str_], *, seed: int
) -> tuple[Interval | None, Interval | None]:
    """Of R2 and MAE, over whole test groups drawn with replacement; errors are means over label draws."""
    own, errors = derive_seed(seed, "interval"), np.stack(predicted) - y
    mae = group_interval(np.abs(errors).mean(axis=0), groups, rng=np.random.default_rng(own))
    found = group_resamples(groups, rng=np.random.default_rng(own))
    if found is None:
        return None, mae
    member, times = found
    columns = (np.ones(len(y)), y, y**2, (errors**2).mean(axis=0))
    count, first, second, squared = (times @ np.bincount(member, weights=column) for column in columns)
    total = second - first**2 / count
    varied = total > 1e-9 * second  # a draw of groups that all have one number has no R2
    return percentile_interval(1 - squared[varied] / total[varied]) if varied.any() else None, mae
