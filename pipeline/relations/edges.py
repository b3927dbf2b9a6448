"""A relation as an edge list, in compressed rows."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.relations.ranges import ranges

_UNIT = float(1 << 31)  # the largest weight in the integers that draws add up


@dataclass(frozen=True)
class Edges:
    """Neighbours of node i: indices[indptr[i]:indptr[i + 1]], ascending, with their weights. See `symmetrise`.

    indptr (n + 1,) int64, indices (L,) int32, weights (L,) float32 > 0; every link is in it from both ends. Takes 8
    bytes per link and end, 8 bytes per node.
    """

    indptr: np.ndarray
    indices: np.ndarray
    weights: np.ndarray

    @property
    def num_nodes(self) -> int:
        return len(self.indptr) - 1

    @property
    def num_links(self) -> int:
        return len(self.indices)

    @cached_property
    def heaviest(self) -> float:
        """The largest weight, 0 without links."""
        return float(self.weights.max(initial=0.0))

    @cached_property
    def is_uniform(self) -> bool:
        """True where all weights are equal, so that a draw costs the same for every degree."""
        return not len(self.weights) or float(self.weights.min()) == self.heaviest

    def degree(self) -> np.ndarray:
        return np.diff(self.indptr)

    def neighbour(self, nodes: np.ndarray, place: np.ndarray) -> np.ndarray:
        return self.indices[self.indptr[nodes] + place].astype(np.int64)

    def draw(self, nodes: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        degree = self.indptr[nodes + 1] - self.indptr[nodes]
        drawn = np.full(len(nodes), -1, np.int64)
        has = np.flatnonzero(degree)
        place = self._equal(degree[has], uniform[has]) if self.is_uniform else self._weighted(nodes[has], uniform[has])
        drawn[has] = self.neighbour(nodes[has], place)
        return drawn

    def _equal(self, degree: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        return np.minimum((uniform.astype(np.float64) * degree).astype(np.int64), degree - 1)

    def _weighted(self, nodes: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """Integer weights: their running sum is exact, so a node's draw does not depend on the nodes before it."""
        start, count = self.indptr[nodes], self.indptr[nodes + 1] - self.indptr[nodes]
        scale = _UNIT / (self.heaviest or 1.0)
        whole = np.maximum((self.weights[ranges(start, count)].astype(np.float64) * scale).astype(np.int64), 1)
        running = np.concatenate([[0], np.cumsum(whole)])
        first = np.concatenate([[0], np.cumsum(count)])
        before, after = running[first[:-1]], running[first[1:]]
        inside = (uniform.astype(np.float64) * (after - before)).astype(np.int64)
        target = before + np.minimum(inside, after - before - 1)
        return np.searchsorted(running, target, side="right") - 1 - first[:-1]

    def links(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        distinct, column = np.unique(columns, return_inverse=True)
        start, count = self.indptr[rows], self.indptr[rows + 1] - self.indptr[rows]
        positions, row = ranges(start, count), np.repeat(np.arange(len(rows)), count)
        neighbours = self.indices[positions]
        found = np.minimum(np.searchsorted(distinct, neighbours), max(len(distinct) - 1, 0))
        hit = np.flatnonzero(distinct[found] == neighbours) if len(distinct) else np.zeros(0, np.int64)
        weights = np.zeros((len(rows), len(distinct)), np.float32)
        weights[row[hit], found[hit]] = self.weights[positions[hit]]
        return weights[:, column]

    def linked(self, nodes: np.ndarray) -> np.ndarray:
        return self.links(nodes, nodes)
