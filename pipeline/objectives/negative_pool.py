"""Which candidates of the memory are an anchor's negatives: a pool by similarity, then a number drawn from it.

Axes: B anchors, M candidates in random order, d embedding size.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from pipeline.objectives.info_nce import product

Sampling = Literal["semihard", "hard", "semieasy", "random"]
_ROWS = 1024


@torch.no_grad()
def negative_pool(
    anchors: Tensor, candidates: Tensor, different: Tensor, *, sampling: Sampling, pool: float, negatives: int
) -> Tensor:
    """(B, M) bool, the negatives of each anchor, without a gradient (InterCLR, arXiv 2008.11702).

    anchors (B, d), candidates (M, d), unit rows; different (B, M) bool, candidates that may be negatives.
    The pool holds ceil(pool * M) candidates of any label: the nearest to the anchor (semihard), the farthest (semieasy)
    or all (random); negatives are the first `negatives` members of it, in candidate order, that are different. As the
    candidates come in random order, that is a uniform draw without replacement. hard: the `negatives` nearest
    different ones. Where the pool holds nothing different, different candidates at random take its place, as many as
    the pool would hold; where there are none at all the row is empty.
    """
    size = max(1, math.ceil(pool * len(candidates)))
    found = torch.zeros_like(different)
    for start in range(0, len(anchors), _ROWS):
        rows = slice(start, start + _ROWS)
        similarity = product(anchors[rows], candidates.T)
        members = _members(similarity, different[rows], sampling, size=size, negatives=negatives)
        spare = _first(different[rows], min(negatives, size))
        found[rows] = torch.where(members.any(dim=1, keepdim=True), members, spare)
    return found


def _members(similarity: Tensor, different: Tensor, sampling: Sampling, *, size: int, negatives: int) -> Tensor:
    if sampling == "random":
        return _first(different, negatives)
    if sampling == "hard":
        hidden = similarity.masked_fill(~different, -torch.inf)
        return different & _nearest(hidden, min(negatives, different.shape[1]))
    return _first(different & _nearest(similarity if sampling == "semihard" else -similarity, size), negatives)


def _nearest(similarity: Tensor, number: int) -> Tensor:
    """(B, M) bool: the `number` largest of each row."""
    return torch.zeros_like(similarity, dtype=torch.bool).scatter_(1, similarity.topk(number, dim=1).indices, True)


def _first(mask: Tensor, number: int) -> Tensor:
    """(B, M) bool: the first `number` marked entries of each row."""
    return mask if number >= mask.shape[1] else mask & (mask.cumsum(dim=1, dtype=torch.int32) <= number)
