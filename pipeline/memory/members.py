"""Uniform draws of a cluster's members in constant time.

A snapshot lists the samples cluster by cluster. It is made anew once 5 % of its labels have changed, so its cost per
change is constant. Between snapshots a drawn sample may have moved away, which the caller sees and redraws, and one
that has just joined is not drawn yet.
"""

import numpy as np
import torch
from torch import Tensor

from pipeline.data.permutation import permute

STALE_SHARE = 0.05
"""Share of changed labels from which a new snapshot is due."""


class Members:
    """`order` (L,) int32: labelled positions by cluster; `offsets` (k + 1,) int64; `changes` since the snapshot."""

    def __init__(self, order: Tensor, offsets: Tensor, changes: int = 0) -> None:
        self.order, self.offsets, self.changes = order, offsets, changes

    @classmethod
    def of(cls, labels: Tensor, num: int) -> "Members":
        """Snapshot of labels (n,), -1 = none."""
        order = labels.argsort(stable=True)
        counts = torch.bincount(labels.long() + 1, minlength=num + 1)
        return cls(order[int(counts[0]) :].int(), counts.cumsum(0) - counts[0])

    @property
    def stale(self) -> bool:
        """Whether a new snapshot is due."""
        return self.changes > STALE_SHARE * len(self.order)

    def draw(self, clusters: Tensor, uniform: Tensor) -> Tensor:
        """Positions (B, T) of members, at the snapshot, of clusters (B,) >= 0, from uniform (B, T) in [0, 1).

        -1 where the cluster had none.
        """
        start, size = self.offsets[clusters], self.offsets[clusters + 1] - self.offsets[clusters]
        step = (uniform.double() * size[:, None]).long().clamp(max=(size - 1)[:, None])
        found = self.order[(start[:, None] + step).clamp(min=0, max=len(self.order) - 1)].long()
        return torch.where((size > 0)[:, None], found, -1)

    def some(self, cluster: int, limit: int, key: int) -> Tensor:
        """At most `limit` distinct members (L,) of a cluster at the snapshot, ascending, drawn by key."""
        start, stop = self.offsets[cluster : cluster + 2].tolist()
        drawn = permute(np.arange(min(limit, stop - start)), size=max(stop - start, 1), key=key) + start
        return self.order[torch.from_numpy(drawn).to(self.order.device)].long().sort().values
