"""What every relation can be asked. Nodes are positions 0..n-1 of the pretraining rows, never sample numbers."""

from typing import Protocol

import numpy as np

from pipeline.data.permutation import permute

MAX_LINKS = 500_000_000
"""Most links an edge list may have, counted from both ends: 4 GB, and up to 19 GB while it is built from a file."""


class Relation(Protocol):
    """A symmetric weighted graph without self-loops. All methods are pure; none costs more than its answer.

    A link counts twice, once from each end.
    """

    @property
    def num_nodes(self) -> int: ...

    @property
    def num_links(self) -> int: ...

    def degree(self) -> np.ndarray:
        """Neighbours (n,) int64 of every node."""
        ...

    def neighbour(self, nodes: np.ndarray, place: np.ndarray) -> np.ndarray:
        """The place-th neighbour (A,) int64 of nodes (A,), 0 <= place < degree."""
        ...

    def draw(self, nodes: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        """A neighbour (A,) int64 of nodes (A,), by weight, from uniform numbers (A,) in [0, 1); -1 where there is none.

        Each answer depends on its own node and number alone, whatever else is asked in the same call.
        """
        ...

    def links(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        """Weights (R, C) float32 between nodes (R,) and nodes (C,), 0 where there is no link."""
        ...

    def linked(self, nodes: np.ndarray) -> np.ndarray:
        """Weights (B, B) float32 between the nodes (B,) of a batch, 0 where there is no link and on equal nodes."""
        ...


def sample_links(relation: Relation, limit: int, *, key: int) -> tuple[np.ndarray, np.ndarray]:
    """Both ends (K,) int64 of at most `limit` distinct links, drawn uniformly; all of them where there are no more."""
    degree = relation.degree()
    ends = np.cumsum(degree)
    total = relation.num_links
    numbers = np.arange(min(limit, total))
    if total > limit:
        numbers = permute(numbers, size=total, key=key)
    sources = np.searchsorted(ends, numbers, side="right")
    starts = ends[sources] - degree[sources]
    return sources, relation.neighbour(sources, numbers - starts)
