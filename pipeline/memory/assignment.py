"""Which cluster every row of a bank is in, with everything that follows from it."""

import torch
from torch import Tensor

from pipeline.memory.bank import FeatureBank
from pipeline.memory.centroids import Centroids, cluster_totals
from pipeline.memory.members import Members


class Assignment:
    """labels (n,) int32, -1 = none, with centroids and members that stay consistent with them."""

    names = ("labels", "means", "sums", "counts", "order", "offsets", "changes")
    """Those of `tensors`."""

    def __init__(self, labels: Tensor, centroids: Centroids, members: Members) -> None:
        self.labels, self.centroids, self.members = labels, centroids, members

    @classmethod
    def of(cls, bank: FeatureBank, labels: Tensor, num: int) -> "Assignment":
        """Adopt labels (n,) int32 below `num`. Collective."""
        sums, counts = cluster_totals(bank, labels, num)
        return cls(labels, Centroids(sums, counts, dtype=bank.compute), Members.of(labels, num))

    @property
    def num(self) -> int:
        """Number of clusters."""
        return len(self.centroids)

    def relabel(self, positions: Tensor, old_rows: Tensor, new_rows: Tensor, new_labels: Tensor) -> int:
        """Rows at positions (P,) changed from old (P, d) to new ones and now belong to new_labels (P,).

        Returns how many labels changed.
        """
        old_labels = self.labels[positions].long()
        self.centroids.move(old_rows, old_labels, new_rows, new_labels)
        self.labels[positions] = new_labels.int()
        changed = int((old_labels != new_labels).sum())
        self.members.changes += changed
        if self.members.stale:
            self.snapshot()
        return changed

    def snapshot(self) -> None:
        """List the members anew."""
        self.members = Members.of(self.labels, self.num)

    def tensors(self) -> dict[str, Tensor]:
        """The state, the same on every worker."""
        return {
            "labels": self.labels,
            "means": self.centroids.means,
            "sums": self.centroids.sums,
            "counts": self.centroids.counts,
            "order": self.members.order,
            "offsets": self.members.offsets,
            "changes": torch.tensor([self.members.changes]),
        }

    @classmethod
    def load(cls, tensors: dict[str, Tensor]) -> "Assignment":
        """Inverse of `tensors`."""
        centroids = Centroids(tensors["sums"], tensors["counts"], dtype=tensors["means"].dtype)
        centroids.means = tensors["means"]
        members = Members(tensors["order"], tensors["offsets"], int(tensors["changes"]))
        return cls(tensors["labels"], centroids, members)
