"""Small clusters are dissolved and their numbers given to halves of large ones (arXiv 2008.11702, ODC 2006.10645).

Unlike the reference's, a second repair changes nothing: no part is below the smallest allowed size. That is always
possible while clusters * smallest <= rows / 2, because then the largest cluster has at least twice that size.
"""

import torch
from torch import Tensor
from torch.nn import functional

from modalities.draws import derive_seed
from pipeline.memory.assignment import Assignment
from pipeline.memory.bank import BLOCK, FeatureBank

_SPLIT_ROWS = 1024
_SPLIT_ITERATIONS = 10


def repair_small(bank: FeatureBank, assignment: Assignment, *, smallest: int, key: int) -> int:
    """Dissolve clusters below `smallest`, refill their numbers, refresh; how many labels changed. Collective."""
    small = assignment.centroids.counts < smallest
    if not bool(small.any()):
        return 0
    changed = _dissolve(bank, assignment, small)
    assignment.centroids.refresh()
    for cluster in small.nonzero().squeeze(1).tolist():
        changed += _split_largest(bank, assignment, cluster, smallest=smallest, key=derive_seed(key, cluster))
    assignment.centroids.refresh()
    return changed


def _dissolve(bank: FeatureBank, assignment: Assignment, small: Tensor) -> int:
    """Move every member of the small clusters to the nearest of the others."""
    leaving = torch.cat([small, small.new_zeros(1)])[assignment.labels]  # -1, no cluster, is the last entry
    changed = 0
    for positions in leaving.nonzero().squeeze(1).split(BLOCK):
        rows = bank.fetch(positions)
        changed += assignment.relabel(positions, rows, rows, assignment.centroids.nearest(rows, allowed=~small))
    return changed


def _split_largest(bank: FeatureBank, assignment: Assignment, cluster: int, *, smallest: int, key: int) -> int:
    """Give an empty cluster one part of the largest: of at most 1024 of its members; the others follow when seen."""
    largest = int(assignment.centroids.counts.argmax())
    positions = _current_members(assignment, largest, max(_SPLIT_ROWS, 2 * smallest), key)
    if len(positions) < 2 * smallest:
        assignment.snapshot()
        positions = _current_members(assignment, largest, max(_SPLIT_ROWS, 2 * smallest), key)
    rows = bank.fetch(positions)
    part = positions[_second_part(rows, smallest)]
    rows = bank.fetch(part)
    return assignment.relabel(part, rows, rows, torch.full_like(part, cluster))


def _current_members(assignment: Assignment, cluster: int, limit: int, key: int) -> Tensor:
    positions = assignment.members.some(cluster, limit, key)
    return positions[assignment.labels[positions] == cluster]


def _second_part(rows: Tensor, smallest: int) -> Tensor:
    """2-means from two far rows of (P, d): which rows form the second part, each part having `smallest` at least.

    Where 2-means finds one part only, as in equal rows, the rows are halved.
    """
    first = (rows @ rows.mean(dim=0)).argmin()
    ends = torch.stack([rows[first], rows[(rows @ rows[first]).argmin()]])
    second = torch.zeros(len(rows), dtype=torch.bool, device=rows.device)
    for _ in range(_SPLIT_ITERATIONS):
        before, second = second, rows @ ends[1] > rows @ ends[0]
        if torch.equal(before, second):
            break
        weight = torch.stack([~second, second]).to(rows.dtype)
        ends = functional.normalize(weight @ rows, dim=1)
    size = int(second.sum()) or len(rows) // 2
    size = min(max(size, smallest), len(rows) - smallest)
    return (rows @ (ends[1] - ends[0])).argsort(descending=True, stable=True)[:size]
