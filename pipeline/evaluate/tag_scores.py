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

from pipeline.evaluate.group_intervals import Interval, group_resamples, percentile_interval
from pipeline.evaluate.one_vs_rest import Tags

Probabilities = NDArray[np.float64]
THRESHOLD = 0.5
_BLOCK = 1 << 22


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


def tag_intervals(
    drawn: Sequence[Probabilities], tags: Tags, groups: NDArray[np.str_], *, rng: np.random.Generator
) -> dict[str, Interval]:
    """95 % of both F1 and of the mean average precision by name, means over label draws, resampling whole groups.

    None of them where there is only one group.
    """
    found = group_resamples(groups, rng=rng)
    if found is None:
        return {}
    member, times = found
    macro, micro = zip(*(_resampled_f1(p > THRESHOLD, tags, member, times) for p in drawn), strict=True)
    precisions = [resampled_map(p, tags, member, times) for p in drawn]
    by_name = {"f1_macro": macro, "f1_micro": micro, "map": precisions}
    return {name: percentile_interval(np.mean(values, axis=0)) for name, values in by_name.items()}


def _resampled_f1(
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


def resampled_map(
    probabilities: Probabilities,
    tags: Tags,
    member: NDArray[np.int64],
    times: NDArray[np.int64],
    *,
    block: int = _BLOCK,
) -> NDArray[np.float64]:
    """Mean average precision of each draw of groups (R, G), over the tags that it has; member (N,): group of a sample.

    block: counts of samples in draws that are held at a time.
    """
    size = max(1, block // len(tags))
    blocks = [times[start : start + size].T.astype(np.int32) for start in range(0, len(times), size)]
    summed, occurring = np.zeros(len(times)), np.zeros(len(times))
    for k in np.flatnonzero(tags.any(axis=0)):
        order = np.argsort(-probabilities[:, k], kind="stable")
        ranked, own = probabilities[order, k], tags[order, k]
        found = [_average_precisions(ranked, own, counts[member[order]]) for counts in blocks]
        precisions = np.concatenate(found)
        summed += np.nan_to_num(precisions)
        occurring += ~np.isnan(precisions)
    return summed / np.maximum(occurring, 1)


def _average_precisions(ranked: Probabilities, own: NDArray[np.bool_], counts: NDArray[np.int32]) -> Probabilities:
    """Of one tag in draws (R,), NaN where it is not drawn; samples (N,) by falling probability, counts (N, R) of them.

    A sample that has the tag finds what is at least as probable as itself: equal ones come together.
    """
    last = np.searchsorted(-ranked, -ranked[own], side="right") - 1
    above = np.cumsum(counts, axis=0, dtype=np.int32)[last]
    drawn = counts[own]
    hits = np.cumsum(drawn, axis=0, dtype=np.int32)[np.searchsorted(-ranked[own], -ranked[own], side="right") - 1]
    precisions, total = (drawn * (hits / np.maximum(above, 1))).sum(axis=0), drawn.sum(axis=0)
    return np.where(total > 0, precisions / np.maximum(total, 1), np.nan)
