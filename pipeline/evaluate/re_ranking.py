"""k-reciprocal re-ranking (Zhong et al., CVPR 2017, arXiv 1701.08398) with sparse neighbourhoods: O(N k) memory.

d = (1 - lambda) Jaccard + lambda d0, where d0 is the squared distance of unit vectors over its largest in the row, and
Jaccard compares the expanded k-reciprocal neighbourhoods, whose weights are exp(-d0).
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csc_array, csr_array

from pipeline.errors import NotMeasurable
from pipeline.evaluate.similarity import Matrix, unit_rows

_TILE = 1 << 22
_OVERLAP = 2 / 3  # share of a candidate's own neighbours that must be known already
Rows = NDArray[np.int64]


@dataclass(frozen=True)
class ReRanking:
    """k1: neighbours that may be reciprocal. k2: neighbours that neighbourhoods are averaged over. weight: lambda."""

    k1: int = 20
    k2: int = 6
    weight: float = 0.3


class ReRanked:
    """Similarity -d of queries (Q, D) to gallery (G, D); neighbours are sought in both together.

    Raises DataError for values that are not finite, NotMeasurable for fewer samples than k1 + 1.
    """

    def __init__(self, queries: Matrix, gallery: Matrix, config: ReRanking | None = None) -> None:
        self._config = config or ReRanking()
        own = unit_rows(queries, "queries")
        self._num_queries = len(own)
        self._x = own if gallery is queries else np.concatenate([own, unit_rows(gallery, "gallery")])
        self._gallery = slice(0 if gallery is queries else len(own), len(self._x))
        if len(self._x) <= self._config.k1:
            raise NotMeasurable(
                "re-ranking looks at more neighbours than there are",
                code="DATA_TOO_FEW",
                field="k1",
                expected=f"at least {self._config.k1 + 1} samples",
                got=len(self._x),
                fix="lower k1",
            )
        nearest, self._largest = self._neighbours()
        weights = self._weights(nearest)
        if self._config.k2 > 1:
            weights = _averaged(weights, nearest[:, : self._config.k2])
        self._weights_of_queries = weights[: self._num_queries]
        self._weights_in_gallery = csc_array(weights[self._gallery])

    @property
    def shape(self) -> tuple[int, int]:
        return self._num_queries, self._gallery.stop - self._gallery.start

    def rows(self, start: int, stop: int) -> Matrix:
        jaccard = np.stack([self._jaccard(query) for query in range(start, stop)])
        distance = self._distance(slice(start, stop), self._gallery) / self._largest[start:stop, None]
        return -((1 - self._config.weight) * jaccard + self._config.weight * distance)

    def _distance(self, rows: slice, columns: slice) -> Matrix:
        return 2 - 2 * (self._x[rows] @ self._x[columns].T)

    def _neighbours(self) -> tuple[Rows, Matrix]:
        """The k1 + 1 nearest of each sample (N, k1 + 1), itself first, and the largest distance (N,)."""
        num, size = len(self._x), self._config.k1 + 1
        nearest, largest = np.empty((num, size), np.int64), np.empty(num, self._x.dtype)
        step = max(1, _TILE // num)
        for start in range(0, num, step):
            tile = self._distance(slice(start, start + step), slice(0, num))
            rows = np.arange(len(tile))
            largest[start : start + step] = np.maximum(tile.max(axis=1), np.finfo(tile.dtype).tiny)
            tile[rows, start + rows] = -1.0  # before its duplicates
            found = np.sort(np.argpartition(tile, size - 1, axis=1)[:, :size], axis=1)
            order = np.argsort(np.take_along_axis(tile, found, axis=1), axis=1, kind="stable")
            nearest[start : start + step] = np.take_along_axis(found, order, axis=1)
        return nearest, largest

    def _weights(self, nearest: Rows) -> csr_array:
        """(N, N) neighbourhoods: k-reciprocal neighbours, and those of neighbours that share most of them."""
        half = nearest[:, : round(self._config.k1 / 2) + 1]
        reciprocal, close = _reciprocal(nearest), _reciprocal(half)
        rows, columns, values = [], [], []
        for sample, own in enumerate(reciprocal):
            wider = [close[c] for c in own if np.isin(close[c], own).sum() > _OVERLAP * len(close[c])]
            members = np.unique(np.concatenate([own, *wider]))
            distance = (2 - 2 * self._x[members] @ self._x[sample]) / self._largest[sample]
            weight = np.exp(-distance)
            rows.append(np.full(len(members), sample))
            columns.append(members)
            values.append(weight / weight.sum())
        where = (np.concatenate(rows), np.concatenate(columns))
        return csr_array((np.concatenate(values), where), shape=(len(nearest), len(nearest)))

    def _jaccard(self, query: int) -> Matrix:
        """Distances (G,) of one query's neighbourhood to those of the gallery."""
        own, other = self._weights_of_queries, self._weights_in_gallery
        common = np.zeros(self.shape[1], self._x.dtype)
        for at in range(own.indptr[query], own.indptr[query + 1]):
            column = own.indices[at]
            holders = slice(other.indptr[column], other.indptr[column + 1])
            common[other.indices[holders]] += np.minimum(own.data[at], other.data[holders])
        return 1 - common / (2 - common)


def _reciprocal(nearest: Rows) -> list[Rows]:
    """Of each sample, the neighbours that have it as a neighbour; itself is one."""
    mutual = (nearest[nearest] == np.arange(len(nearest))[:, None, None]).any(axis=2)
    return [row[keep] for row, keep in zip(nearest, mutual, strict=True)]


def _averaged(weights: csr_array, nearest: Rows) -> csr_array:
    """Mean of the neighbourhoods of each sample's nearest (N, k2)."""
    num, size = nearest.shape
    where = (np.repeat(np.arange(num), size), nearest.ravel())
    return csr_array(csr_array((np.full(num * size, 1 / size), where), shape=(num, num)) @ weights)
