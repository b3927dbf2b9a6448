"""Linear probe: logistic regression whose C is chosen on held-out groups of the labelled rows."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from pipeline.evaluate.group_folds import group_folds
from pipeline.evaluate.labelled import Features, Labelled, Prediction, Rows
from pipeline.evaluate.logistic import Logistic, PrincipalAxes, logistic_path, principal_axes
from pipeline.evaluate.probe_config import ProbeConfig

SEARCH_TOLERANCE = 1e-6  # nats; far below the noise of a held-out loss
_PATIENCE = 2  # worse candidates in a row after which larger C are not tried


@dataclass(frozen=True)
class LinearModel:
    """A fitted logistic regression. held_out: loss of its C on held-out groups, None where the default was used."""

    axes: PrincipalAxes
    model: Logistic
    held_out: float | None

    @property
    def inverse_strength(self) -> float:
        return self.model.inverse_strength

    def predict(self, x: Features) -> Rows:
        """Classes (N,) of rows (N, D)."""
        return self.model.logits(self.axes.rotate(x)).argmax(axis=1)


def fit_linear(labelled: Labelled, config: ProbeConfig) -> LinearModel:
    """Fit on the labelled rows."""
    axes = principal_axes(labelled.x)
    rotated = replace(labelled, x=axes.rotate(labelled.x).astype(np.float32))  # half the memory traffic, same classes
    chosen, held_out = choose_inverse_strength(rotated, config) or (config.default_inverse_strength, None)
    (model,) = logistic_path(rotated.x, rotated.y, num_classes=labelled.num_classes, inverse_strengths=[chosen])
    return LinearModel(axes, model, held_out)


def linear_probe(labelled: Labelled, x: Features, config: ProbeConfig) -> Prediction:
    """Fit on the labelled rows, predict x (N, D)."""
    model = fit_linear(labelled, config)
    return Prediction(model.predict(x), model.inverse_strength, model.held_out)


def choose_inverse_strength(labelled: Labelled, config: ProbeConfig) -> tuple[float, float] | None:
    """The C of lowest held-out loss (nats a row) over group folds, and that loss; None where these are impossible.

    Loss, not accuracy: with few labels accuracy is a coarse, tied score.
    """
    folds = group_folds(labelled.y, labelled.groups, folds=config.folds)
    if not folds:
        return None
    x, y = labelled.x, labelled.y
    paths = [
        logistic_path(
            x[train],
            y[train],
            num_classes=labelled.num_classes,
            inverse_strengths=config.inverse_strengths,
            tolerance=SEARCH_TOLERANCE,
        )
        for train, _ in folds
    ]

    def held_out(models: Sequence[Logistic]) -> float:
        losses = [model.loss(x[rows], y[rows]) * len(rows) for model, (_, rows) in zip(models, folds, strict=True)]
        return sum(losses) / len(labelled)

    return lowest_held_out(paths, held_out)


def lowest_held_out(
    paths: Sequence[Iterator[Logistic]], loss: Callable[[Sequence[Logistic]], float]
) -> tuple[float, float] | None:
    """C and loss of the candidate of lowest loss, where each path gives its model of one fold; None where all diverge.

    Candidates are tried from the strongest regularisation on, until two in a row are worse than the best: the weak ones
    cost most and cannot win any more.
    """
    best, best_loss, worse = None, np.inf, 0
    for models in zip(*paths, strict=True):
        found = loss(models)
        best, best_loss, worse = (
            (models[0].inverse_strength, found, 0) if found < best_loss else (best, best_loss, worse + 1)
        )
        if worse == _PATIENCE:
            break
    return None if best is None else (best, best_loss)
