"""Pseudo-labels of one space at one granularity (InterCLR, arXiv 2008.11702; online clustering, arXiv 2006.10645)."""

from collections.abc import Mapping

import torch
from torch import Tensor

from modalities.draws import derive_seed
from pipeline.memory.assignment import Assignment
from pipeline.memory.bank import FeatureBank, Written
from pipeline.memory.cluster_numbers import numbers_for
from pipeline.memory.config import ClustersConfig
from pipeline.memory.k_means import spherical_k_means
from pipeline.memory.repair import repair_small


class PseudoLabels:
    """labels (n,), -1 = none; none at all before `cluster`, or where the space has too few rows.

    num: clusters asked for, None = by the number of rows. name, seed: what the draws are keyed by.
    """

    def __init__(self, bank: FeatureBank, config: ClustersConfig, *, num: int | None, name: str, seed: int) -> None:
        self.bank, self.config, self.num, self.name = bank, config, num, name
        self.key = derive_seed(seed, "clusters", name)
        self.assignment: Assignment | None = None
        self.smallest, self.clusterings, self.repairs = 0, 0, 0
        self.changes, self.change_ratio = 0, 0.0

    @property
    def num_clusters(self) -> int:
        """0 where there are no labels."""
        return self.assignment.num if self.assignment else 0

    def labels_at(self, positions: Tensor) -> Tensor:
        """int32 labels (K,) at positions (K,), -1 where there is none or the position is -1."""
        if self.assignment is None:
            return torch.full(positions.shape, -1, dtype=torch.int32, device=positions.device)
        return torch.where(positions >= 0, self.assignment.labels[positions.clamp(min=0)], -1)

    def cluster(self) -> None:
        """Cluster the whole bank anew. Collective."""
        numbers = numbers_for(self.config, self.num, self.bank.num_valid, space=self.name)
        if numbers is None:
            return
        key = derive_seed(self.key, "k-means", self.clusterings)
        labels = spherical_k_means(self.bank, numbers.num, iterations=self.config.iterations, key=key)
        self.adopt(labels, numbers.num, smallest=numbers.smallest)

    def adopt(self, labels: Tensor, num: int, *, smallest: int) -> None:
        """Take over labels (n,) int32 below `num`, -1 for invalid rows only; repair clusters below `smallest`.

        num * smallest <= valid rows / 2 is the caller's duty. Collective.
        """
        before = self.assignment.labels if self.assignment else None
        self.assignment, self.smallest = Assignment.of(self.bank, labels, num), smallest
        self.clusterings += 1
        self._repair(self.assignment)
        if before is not None:
            self.changes += _moved(before, self.assignment.labels, num)

    def update(self, written: Written) -> float:
        """Relabel exactly the rows of a write; offline, only those that had no label.

        Returns the share of earlier labelled ones whose label changed.
        """
        if self.assignment is None:
            return 0.0
        before = self.assignment.labels[written.positions].long()
        free = torch.ones_like(before, dtype=torch.bool) if self.config.update == "online" else before < 0
        labels = before.clone()
        labels[free] = self.assignment.centroids.nearest(written.new[free])
        self.assignment.relabel(written.positions, written.old, written.new, labels)
        known = before >= 0
        changed = int((known & (before != labels)).sum())
        self.changes += changed
        self.change_ratio = changed / max(1, int(known.sum()))
        return self.change_ratio

    def refresh(self) -> None:
        """New centroids, then the repair of small clusters; nothing offline. Collective."""
        if self.assignment is not None and self.config.update == "online":
            self.assignment.centroids.refresh()
            self._repair(self.assignment)

    def _repair(self, assignment: Assignment) -> None:
        key = derive_seed(self.key, "repair", self.repairs)
        changed = repair_small(self.bank, assignment, smallest=self.smallest, key=key)
        self.repairs += changed > 0
        self.changes += changed

    def end_epoch(self) -> None:
        """Start to count label changes anew."""
        self.changes = 0

    def tensors(self) -> dict[str, Tensor]:
        """The state, the same on every worker."""
        counters = [self.smallest, self.clusterings, self.repairs, self.changes]
        own = {"counters": torch.tensor(counters), "ratio": torch.tensor([self.change_ratio], dtype=torch.float64)}
        return own | (self.assignment.tensors() if self.assignment else {})

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Inverse of `tensors`."""
        self.smallest, self.clusterings, self.repairs, self.changes = tensors["counters"].tolist()
        self.change_ratio = float(tensors["ratio"])
        device = self.bank.valid.device
        moved = {name: tensors[name].to(device, copy=True) for name in Assignment.names} if self.clusterings else None
        self.assignment = Assignment.load(moved) if moved else None


def _moved(before: Tensor, after: Tensor, num: int) -> int:
    """Rows whose new cluster mostly comes from another old one than they: the numbers themselves mean nothing."""
    known = (before >= 0) & (after >= 0)
    pairs, counts = torch.stack([after[known], before[known]]).unique(dim=1, return_counts=True)
    largest = torch.zeros(num, dtype=torch.int64, device=after.device)
    largest.scatter_reduce_(0, pairs[0].long(), counts, "amax")
    return int(known.sum() - largest.sum())
