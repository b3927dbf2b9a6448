"""PathSim: how similar two nodes are by the number of paths between them (arXiv 2212.13847, section 4.1)."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import sparse

MAX_PATHS = float(1 << 52)
"""Most paths from a row to itself: float64 counts no more of them, and of the sum of two, exactly."""
_TILE_PRODUCTS = 1 << 22


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


def self_paths(half: sparse.csr_array) -> np.ndarray:
    """Paths (S,) from each row to itself, the diagonal of half half^T: no other entry of A is above the largest.

    Counts are float64: exact up to MAX_PATHS, infinite where they overflow.
    """
    row = np.repeat(np.arange(len(half.indptr) - 1), np.diff(half.indptr))
    with np.errstate(over="ignore"):
        return np.bincount(row, half.data**2, len(half.indptr) - 1)


def num_products(half: sparse.csr_array) -> int:
    """Multiplications that half half^T takes: two rows meet once at every middle node that they share."""
    return int((np.bincount(half.indices).astype(np.int64) ** 2).sum())


def best_rows(half: sparse.csr_array, size: np.ndarray, top: int) -> Choices:
    """For rows of A = half half^T: rows, best first, until each sample has taken `top` others.

    half (S, K): paths from S distinct rows to the middle nodes. size (S,): samples that share the row, 1 at least. The
    row itself comes first with score 1. Equal scores are ordered by distance of the row numbers, cyclically, so that no
    row is everybody's choice. Costs `num_products` and memory of the answer; A is never held as a whole.
    """
    diagonal, right = self_paths(half), sparse.csr_array(half.T)
    meetings = np.bincount(half.indices)[half.indices]
    products = np.concatenate([[0], np.cumsum(meetings)])[half.indptr[1:]]
    starts = np.unique(products // _TILE_PRODUCTS, return_index=True)[1]
    tiles = [
        _best_of(path_sim(sparse.csr_array(half[low:high] @ right), diagonal, first=low), low, size, top)
        for low, high in itertools.pairwise([*starts.tolist(), len(size)])
    ]
    columns = zip(*((each.row, each.other, each.score, each.take) for each in tiles), strict=True)
    return Choices(*(np.concatenate(parts) for parts in columns)) if tiles else _nothing()


def _best_of(scores: sparse.csr_array, low: int, size: np.ndarray, top: int) -> Choices:
    # Every other row has a sample at least, and the row itself may have no other.
    scores = _strongest(scores, low, len(size), top + 1)
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


def _strongest(scores: sparse.csr_array, low: int, num_rows: int, most: int) -> sparse.csr_array:
    """The `most` best entries of each row, in any order: partitions, as sorting whole rows takes most of the time."""
    bounds = [int(bound) for bound in scores.indptr]
    kept = [
        begin + _strongest_of(scores.data[begin:end], (scores.indices[begin:end] - low - row) % num_rows, most)
        for row, (begin, end) in enumerate(itertools.pairwise(bounds))
    ]
    positions = np.concatenate(kept)
    ends = np.cumsum([0, *(len(each) for each in kept)])
    return sparse.csr_array((scores.data[positions], scores.indices[positions], ends), shape=scores.shape)


def _strongest_of(score: np.ndarray, distance: np.ndarray, most: int) -> np.ndarray:
    """Positions of the largest scores (E,), of equal ones those of the smallest distances (E,)."""
    if len(score) <= most:
        return np.arange(len(score))
    least = np.partition(score, -most)[-most]
    above, equal = np.flatnonzero(score > least), np.flatnonzero(score == least)
    nearest = np.argpartition(distance[equal], most - len(above) - 1)[: most - len(above)]
    return np.concatenate([above, equal[nearest]])


def _nothing() -> Choices:
    none = np.zeros(0, np.int64)
    return Choices(none, none, np.zeros(0), none)
