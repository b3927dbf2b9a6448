"""PathSim: how similar two nodes are by the number of paths between them (arXiv 2212.13847, section 4.1)."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

_TILE_CELLS = 1 << 24


@dataclass(frozen=True)
class Choices:
    """Which other rows a row's samples choose from, each (R,), by row and rank.

    row, other: numbers. score: PathSim. take: how many of the other row's samples each sample takes.
    """

    row: np.ndarray
    other: np.ndarray
    score: np.ndarray
    take: np.ndarray


def path_sim(adjacency: sparse.csr_array, diagonal: np.ndarray | None = None, *, first: int = 0) -> sparse.csr_array:
    """PathSim(i, j) = 2 A_ij / (A_ii + A_jj) of path counts A (S, S), where A_ij > 0.

    With `diagonal` (S,), `adjacency` (T, S) may be the rows first, first + 1, ... alone.

    >>> counts = sparse.csr_array(np.array([[2.0, 1, 0], [1, 3, 1], [0, 1, 1]]))
    >>> path_sim(counts).toarray()[[0, 1], [1, 2]].tolist()
    [0.4, 0.5]
    """
    diagonal = adjacency.diagonal() if diagonal is None else diagonal
    row = first + np.repeat(np.arange(len(adjacency.indptr) - 1), np.diff(adjacency.indptr))
    values = 2.0 * adjacency.data / (diagonal[row] + diagonal[adjacency.indices])
    return sparse.csr_array((values, adjacency.indices, adjacency.indptr), shape=adjacency.shape)


def best_rows(half: sparse.csr_array, size: np.ndarray, top: int) -> Choices:
    """For rows of A = half half^T: rows, best first, until each sample has taken `top` others.

    half (S, K): paths from S distinct rows to the middle nodes. size (S,): samples that share the row. The row itself
    comes first with score 1. Equal scores are ordered by distance of the row numbers, cyclically, so that no row is
    everybody's choice.
    """
    diagonal = np.bincount(np.repeat(np.arange(len(size)), np.diff(half.indptr)), half.data**2, len(size))
    tile = max(1, _TILE_CELLS // max(len(size), 1))
    tiles = [
        _best_of(path_sim(sparse.csr_array(half[low : low + tile] @ half.T), diagonal, first=low), low, size, top)
        for low in range(0, len(size), tile)
    ]
    columns = zip(*((each.row, each.other, each.score, each.take) for each in tiles), strict=True)
    return Choices(*(np.concatenate(parts) for parts in columns)) if tiles else _nothing()


def _best_of(scores: sparse.csr_array, low: int, size: np.ndarray, top: int) -> Choices:
    degree = np.diff(scores.indptr)
    row = low + np.repeat(np.arange(len(degree)), degree)
    other = scores.indices.astype(np.int64)
    score = np.asarray(scores.data, np.float64)
    order = np.lexsort(((other - row) % len(size), -score, row))
    other, score = other[order], score[order]
    available = size[other] - (row == other)
    ends = np.concatenate([[0], np.cumsum(available)])
    before = ends[:-1] - np.repeat(ends[scores.indptr[:-1]], degree)
    take = np.minimum(available, top - before)
    kept = take > 0
    return Choices(row[kept], other[kept], score[kept], take[kept])


def _nothing() -> Choices:
    none = np.zeros(0, np.int64)
    return Choices(none, none, np.zeros(0), none)
