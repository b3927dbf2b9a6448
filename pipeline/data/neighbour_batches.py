"""Relation-aware batches: every anchor beside one neighbour."""

from collections.abc import Callable

import numpy as np

from pipeline.data.plan import Plan
from pipeline.errors import ConfigError, DataError


class NeighbourBatches:
    """Anchors come once per epoch in the order of a plan; each is followed by its neighbour: a0 n0 a1 n1 ...

    `neighbour` is a pure function: anchors (A,) int64 and the epoch -> samples (A,) int64 of the plan's rows; an anchor
    without a neighbour is its own. A batch holds two samples for every one of the plan's batch.
    """

    def __init__(self, anchors: Plan, neighbour: Callable[[np.ndarray, int], np.ndarray]) -> None:
        self.anchors, self.neighbour = anchors, neighbour

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        return self.anchors.steps_per_epoch

    def batch(self, epoch: int, step: int) -> np.ndarray:
        """Sample numbers (2 A,) int64. Raises IndexError outside the epoch, DataError for a bad neighbour."""
        anchors = self.anchors.batch(epoch, step)
        neighbours = np.asarray(self.neighbour(anchors, epoch), np.int64)
        if neighbours.shape != anchors.shape:
            raise ConfigError(
                "one neighbour per anchor", code="CONFIG_VALUE", expected=anchors.shape, got=neighbours.shape
            )
        outside = self.anchors.rows.find(neighbours) < 0
        if outside.any():
            raise DataError(
                f"a neighbour of sample {int(anchors[outside][0])} is not among the samples of this plan",
                code="DATA_NEIGHBOUR",
                field="idx",
                got=int(neighbours[outside][0]),
                fix="build the relation from training samples only",
            )
        return np.stack([anchors, neighbours], axis=1).ravel()
