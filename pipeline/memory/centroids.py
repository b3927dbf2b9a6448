"""Means of the unit rows of each cluster, kept by running sums that are exact (fixed point)."""

import torch
from torch import Tensor

from pipeline.memory.bank import FeatureBank
from pipeline.memory.fixed_point import from_fixed, to_fixed


class Centroids:
    """k means (k, d), *not* re-normalised (arXiv 2008.11702); `sums` int64 (k, d) and `counts` int64 (k,) run ahead.

    The means change only in `refresh`. An empty cluster keeps its last mean.
    """

    def __init__(self, sums: Tensor, counts: Tensor, *, dtype: torch.dtype) -> None:
        self.sums, self.counts = sums, counts
        self.means = torch.zeros(sums.shape, dtype=dtype, device=sums.device)
        self.refresh()

    def __len__(self) -> int:
        return len(self.counts)

    def move(self, old_rows: Tensor, old_labels: Tensor, new_rows: Tensor, new_labels: Tensor) -> None:
        """Rows (P, d) leave their old clusters (P,) and join their new ones; -1 is no cluster."""
        for rows, labels, sign in ((old_rows, old_labels, -1), (new_rows, new_labels, 1)):
            known = labels >= 0
            self.sums.index_add_(0, labels[known], to_fixed(rows[known]), alpha=sign)
            self.counts.index_add_(0, labels[known], torch.ones_like(labels[known]), alpha=sign)

    def refresh(self) -> None:
        """Set the means of the clusters that have members."""
        full = self.counts > 0
        means = from_fixed(self.sums) / self.counts.clamp(min=1)[:, None]
        self.means = torch.where(full[:, None], means.to(self.means.dtype), self.means)

    def nearest(self, rows: Tensor, *, allowed: Tensor | None = None) -> Tensor:
        """argmax_c C_c . v of rows (B, d), the lowest of equals, as int64 (B,); `allowed` (k,) bool limits it."""
        scores = rows @ self.means.T
        if allowed is not None:
            scores = scores.masked_fill(~allowed, -torch.inf)
        return scores.max(dim=1).indices


def cluster_totals(bank: FeatureBank, labels: Tensor, num: int) -> tuple[Tensor, Tensor]:
    """Fixed-point sums (num, d) and sizes (num,) of clusters given by labels (n,), -1 = none. Collective."""
    sums = torch.zeros(num, bank.dim, dtype=torch.int64, device=labels.device)
    counts = torch.zeros(num, dtype=torch.int64, device=labels.device)
    for start, rows, _ in bank.own_blocks():
        own = labels[start : start + len(rows)].long()
        known = own >= 0
        sums.index_add_(0, own[known], to_fixed(rows[known]))
        counts += torch.bincount(own[known], minlength=num)
    return bank.worker.sum_fast(sums), bank.worker.sum_fast(counts)
