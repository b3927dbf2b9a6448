"""Spherical k-means over the rows of a bank, with the same labels for any number of workers.

Every block is assigned by products of one fixed shape, and the sums are fixed point, so neither the blocks' owners nor
the order of a reduction changes a bit.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.data.permutation import permute
from pipeline.memory.bank import FeatureBank
from pipeline.memory.centroids import cluster_totals
from pipeline.memory.fixed_point import from_fixed

_SPREAD_UP_TO = 256
"""k-means++ costs k passes over its rows one after the other; more clusters start from rows drawn at random."""
_SPREAD_ROWS = 4096
_SCORES = 1 << 24
"""Similarities held at once."""


def spherical_k_means(bank: FeatureBank, num: int, *, iterations: int, key: int) -> Tensor:
    """Labels (n,) int32 of the valid rows, -1 for the others. Collective.

    num <= valid rows is the caller's duty. A cluster that runs empty keeps its direction, so labels may leave some out.
    """
    directions = _first_directions(bank, num, key)
    labels = _assign(bank, directions)
    for _ in range(iterations):
        sums, counts = cluster_totals(bank, labels, num)
        means = functional.normalize(from_fixed(sums), dim=1).to(directions.dtype)
        directions = torch.where((counts > 0)[:, None], means, directions)
        before, labels = labels, _assign(bank, directions)
        if torch.equal(before, labels):
            break
    return labels


def _first_directions(bank: FeatureBank, num: int, key: int) -> Tensor:
    """Distinct valid rows (num, d), drawn by key; spread out by k-means++ where that is affordable."""
    from sklearn.cluster import kmeans_plusplus  # imported late: it takes a second

    valid = bank.valid.nonzero().squeeze(1)
    spread = num <= _SPREAD_UP_TO
    size = min(len(valid), _SPREAD_ROWS if spread else num)
    drawn = permute(np.arange(size), size=len(valid), key=key)
    rows = bank.fetch(valid[torch.from_numpy(drawn).to(valid.device)])
    if not spread:
        return rows
    _, chosen = kmeans_plusplus(rows.double().cpu().numpy(), num, random_state=key % (1 << 32))
    return rows[torch.from_numpy(chosen.astype(np.int64)).to(rows.device)]


def _assign(bank: FeatureBank, directions: Tensor) -> Tensor:
    found = torch.zeros(bank.num_rows, dtype=torch.int32, device=directions.device)  # 0 = none, so that sums merge
    for start, rows, valid in bank.own_blocks():
        pieces = rows.split(max(1, _SCORES // len(directions)))
        best = torch.cat([(piece @ directions.T).max(dim=1).indices for piece in pieces]) + 1
        found[start : start + len(rows)] = torch.where(valid, best, 0).int()
    return bank.worker.sum_fast(found) - 1
