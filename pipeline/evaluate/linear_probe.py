"""Linear probe: logistic regression whose C is chosen on held-out groups of the labelled rows."""

from dataclasses import dataclass, replace

import numpy as np

from pipeline.evaluate.group_folds import group_folds
from pipeline.evaluate.labelled import Features, Labelled, Prediction, Rows
from pipeline.evaluate.logistic import Logistic, PrincipalAxes, logistic_path, principal_axes
from pipeline.evaluate.probe_config import ProbeConfig

_SEARCH_TOLERANCE = 1e-6  # nats; far below the noise of a held-out loss
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

    Loss, not accuracy: with few labels accuracy is a coarse, tied score. Candidates are tried from the strongest
    regularisation on, until two in a row are worse than the best: the weak ones cost most and cannot win any more.
    """
    folds = group_folds(labelled.y, labelled.groups, folds=config.folds)
    if not folds:
        return None
    x = labelled.x
    paths = [
        logistic_path(
            x[train],
            labelled.y[train],
            num_classes=labelled.num_classes,
            inverse_strengths=config.inverse_strengths,
            tolerance=_SEARCH_TOLERANCE,
        )
        for train, _ in folds
    ]
    best, best_loss, worse = None, np.inf, 0
    for models in zip(*paths, strict=True):
        held = [
            (model.loss(x[rows], labelled.y[rows]), len(rows)) for model, (_, rows) in zip(models, folds, strict=True)
        ]
        loss = sum(value * size for value, size in held) / len(labelled)
        best, best_loss, worse = (
            (models[0].inverse_strength, loss, 0) if loss < best_loss else (best, best_loss, worse + 1)
        )
        if worse == _PATIENCE:
            break
    return None if best is None else (best, best_loss)
