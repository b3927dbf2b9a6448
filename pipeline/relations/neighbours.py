"""A neighbour of every anchor, drawn by (seed, epoch, sample): what a relation-aware order asks for."""

import numpy as np
import torch

from modalities.draws import Draws
from pipeline.data.rows import Rows
from pipeline.relations.relation import Relation


class Neighbours:
    """Sample numbers of neighbours; an anchor without any is its own."""

    def __init__(self, relation: Relation, rows: Rows, *, seed: int) -> None:
        self.relation, self.rows, self.seed = relation, rows, seed

    def __call__(self, anchors: np.ndarray, epoch: int) -> np.ndarray:
        """Samples (A,) int64 for anchors (A,), each of which is among the rows."""
        draws = Draws.keyed(torch.from_numpy(anchors), seed=self.seed, purpose="order/neighbour", epoch=epoch)
        nodes = self.relation.draw(self.rows.find(anchors), draws.uniform(1)[:, 0].numpy().astype(np.float64))
        return np.where(nodes < 0, anchors, self.rows.take(np.maximum(nodes, 0)))
