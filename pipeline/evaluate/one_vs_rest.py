"""One-vs-rest linear probe of sets of tags: a logistic regression of each tag, C chosen on held-out groups.

A tag that all labelled samples have, or none, teaches nothing: it is predicted for all, or for none.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from pipeline.evaluate.group_folds import tag_folds
from pipeline.evaluate.labelled import Features, Rows
from pipeline.evaluate.linear_probe import SEARCH_TOLERANCE, lowest_held_out
from pipeline.evaluate.logistic import Logistic, one_vs_rest_path, principal_axes
from pipeline.evaluate.probe_config import ProbeConfig

Tags = NDArray[np.bool_]


@dataclass(frozen=True)
class Tagged:
    """x: (N, D) standardised features, tags: (N, K), groups: (N,) what stays together."""

    x: Features
    tags: Tags
    groups: NDArray[np.str_]

    def __len__(self) -> int:
        return len(self.tags)

    def select(self, rows: Rows) -> "Tagged":
        """Some of the rows, by position (M,)."""
        return Tagged(self.x[rows], self.tags[rows], self.groups[rows])


@dataclass(frozen=True)
class TagPrediction:
    """probabilities: (N, K). chosen: C. validated: whether held-out groups chose it, not the default."""

    probabilities: NDArray[np.float64]
    chosen: float
    validated: bool


def one_vs_rest_probe(tagged: Tagged, x: Features, config: ProbeConfig) -> TagPrediction:
    """Fit on the tagged rows, predict x (N, D)."""
    axes = principal_axes(tagged.x)
    rotated = replace(tagged, x=axes.rotate(tagged.x).astype(np.float32))
    found = choose_inverse_strength(rotated, config)
    chosen = config.default_inverse_strength if found is None else found
    varied = _varied(tagged.tags)
    probabilities = np.tile(tagged.tags.all(axis=0).astype(np.float64), (len(x), 1))
    if varied.any():
        (model,) = one_vs_rest_path(rotated.x, tagged.tags[:, varied], inverse_strengths=[chosen])
        probabilities[:, varied] = expit(model.logits(axes.rotate(x)))
    return TagPrediction(probabilities, chosen, found is not None)


def choose_inverse_strength(tagged: Tagged, config: ProbeConfig) -> float | None:
    """The C of lowest held-out loss over group folds, of the tags that every fold can learn; None without such."""
    folds = tag_folds(tagged.tags[:, _varied(tagged.tags)], tagged.groups, folds=config.folds)
    learned = np.all([_varied(tagged.tags[train]) for train, _ in folds], axis=0) if folds else np.array([False])
    if not learned.any():
        return None
    x, tags = tagged.x, tagged.tags[:, learned]
    paths = [
        one_vs_rest_path(x[train], tags[train], inverse_strengths=config.inverse_strengths, tolerance=SEARCH_TOLERANCE)
        for train, _ in folds
    ]

    def held_out(models: Sequence[Logistic]) -> float:
        losses = [_loss(model.logits(x[rows]), tags[rows]) for model, (_, rows) in zip(models, folds, strict=True)]
        return sum(losses) / len(tagged)

    found = lowest_held_out(paths, held_out)
    return None if found is None else found[0]


def _loss(logits: NDArray[np.float64], tags: Tags) -> float:
    """Summed negative log-likelihood, in nats."""
    return float(np.logaddexp(0.0, np.where(tags, -logits, logits)).sum())


def _varied(tags: Tags) -> NDArray[np.bool_]:
    counts = np.count_nonzero(tags, axis=0)
    return (counts > 0) & (counts < len(tags))
