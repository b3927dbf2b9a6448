"""Ridge regression for a whole path of penalties, in closed form.

    min over w, b of  1/N sum_i (w . x_i + b - y_i)^2 + alpha ||w||^2

In principal axes the columns are uncorrelated, so each weight stands alone: every further alpha costs one division.
Axes: N rows, D columns, R principal axes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.group_folds import group_folds
from pipeline.evaluate.logistic import PrincipalAxes, principal_axes

Values = NDArray[np.float64]
Features = NDArray[np.floating]


@dataclass(frozen=True)
class Ridge:
    """A fitted model: weight (R,) of rotated rows and the mean of the training values."""

    axes: PrincipalAxes
    weight: Values
    mean: float
    alpha: float

    def predict(self, x: Features) -> Values:
        """(N, D) -> (N,)."""
        return self.axes.rotate(x) @ self.weight + self.mean


@dataclass(frozen=True)
class Targets:
    """x: (N, D) standardised features, y: (N,) numbers, groups: (N,) what stays together."""

    x: Features
    y: Values
    groups: NDArray[np.str_]

    def select(self, rows: NDArray[np.int64]) -> "Targets":
        """Some of the rows, by position (M,)."""
        return replace(self, x=self.x[rows], y=self.y[rows], groups=self.groups[rows])


def ridge_path(x: Features, y: Values, alphas: Sequence[float]) -> list[Ridge]:
    """One model per alpha of rows (N, D) and values (N,)."""
    axes, mean = principal_axes(x), float(y.mean())
    z = axes.rotate(x)
    shared, spread = z.T @ (y - mean) / len(y), (z**2).mean(axis=0)
    return [Ridge(axes, shared / (spread + alpha), mean, alpha) for alpha in alphas]


def choose_alpha(targets: Targets, alphas: Sequence[float], *, folds: int) -> float | None:
    """The alpha of lowest squared error over folds that hold out whole groups; None where there is one group only."""
    split = group_folds(np.zeros(len(targets.y), np.int64), targets.groups, folds=folds)
    if not split:
        return None
    errors = np.zeros(len(alphas))
    for train, held in split:
        models = ridge_path(targets.x[train], targets.y[train], alphas)
        errors += [float(((model.predict(targets.x[held]) - targets.y[held]) ** 2).sum()) for model in models]
    return alphas[int(errors.argmin())]
