"""Scores of predicted tag sets, by torchmetrics, with intervals over test groups.

Macro figures and the mean average precision are means over the tags that the scored samples have: of others there is
nothing to find. Micro F1 and subset accuracy know all tags.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import (
    binary_average_precision,
    multilabel_exact_match,
    multilabel_f1_score,
)

from pipeline.evaluate.one_vs_rest import Tags
from pipeline.evaluate.scores import group_resamples, percentile_interval

Probabilities = NDArray[np.float64]
Interval = tuple[float, float]
THRESHOLD = 0.5


@dataclass(frozen=True)
class TagScores:
    """f1_macro: mean F1 of tags. f1_micro: of all decisions. map: mean average precision of tags. subset_accuracy:
    share of samples whose set is right as a whole."""

    f1_macro: float
    f1_micro: float
    map: float
    subset_accuracy: float


def tag_scores(probabilities: Probabilities, tags: Tags) -> TagScores:
    """Scores of samples (N, K), of which at least one has a tag; K is at least 2."""
    guess, truth = torch.from_numpy(probabilities), torch.from_numpy(tags.astype(np.int64))
    num_tags, occurring = tags.shape[1], np.flatnonzero(tags.any(axis=0)).tolist()
    each = multilabel_f1_score(guess, truth, num_tags, threshold=THRESHOLD, average="none")
    precisions = [float(binary_average_precision(guess[:, k], truth[:, k])) for k in occurring]
    return TagScores(
        f1_macro=float(each[occurring].mean()),
        f1_micro=float(multilabel_f1_score(guess, truth, num_tags, threshold=THRESHOLD, average="micro")),
        map=float(np.mean(precisions)),
        subset_accuracy=float(multilabel_exact_match(guess, truth, num_tags, threshold=THRESHOLD)),
    )


def exactly_right(probabilities: Probabilities, tags: Tags) -> NDArray[np.bool_]:
    """Samples (N,) whose set of tags is predicted as a whole."""
    return ((probabilities > THRESHOLD) == tags).all(axis=1)


def f1_intervals(
    drawn: Sequence[Probabilities], tags: Tags, groups: NDArray[np.str_], *, rng: np.random.Generator
) -> tuple[Interval, Interval] | None:
    """95 % of macro and micro F1, means over label draws, resampling whole groups; None where there is only one."""
    found = group_resamples(groups, rng=rng)
    if found is None:
        return None
    member, times = found
    macro, micro = zip(*(_resampled(p > THRESHOLD, tags, member, times) for p in drawn), strict=True)
    return percentile_interval(np.mean(macro, axis=0)), percentile_interval(np.mean(micro, axis=0))


def _resampled(
    guess: Tags, tags: Tags, member: NDArray[np.int64], times: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Macro and micro F1 of each draw of groups."""
    hits, sizes = _by_group(guess & tags, member, times), _by_group(guess, member, times)
    truths = _by_group(tags, member, times)
    each = 2 * hits / np.maximum(sizes + truths, 1)
    occurring = truths > 0
    macro = np.where(occurring, each, 0.0).sum(axis=1) / np.maximum(occurring.sum(axis=1), 1)
    return macro, 2 * hits.sum(axis=1) / np.maximum((sizes + truths).sum(axis=1), 1)


def _by_group(values: Tags, member: NDArray[np.int64], times: NDArray[np.int64]) -> NDArray[np.float64]:
    """How often each tag is set in each draw of groups."""
    counts = np.zeros((times.shape[1], values.shape[1]))
    np.add.at(counts, member, values)
    return times @ counts
