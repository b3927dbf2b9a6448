"""Similarities of queries to a gallery, some rows at a time, so that no matrix of all pairs is ever held."""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError

Matrix = NDArray[np.floating]


class Similarity(Protocol):
    """Larger is more alike."""

    @property
    def shape(self) -> tuple[int, int]:
        """Number of queries and of gallery items."""
        ...

    def rows(self, start: int, stop: int) -> Matrix:
        """(stop - start, G) of these queries; the caller may overwrite it."""
        ...


class Cosine:
    """Cosine similarity of queries (Q, D) and gallery (G, D); a vector of zeros is as like to all as to none: 0."""

    def __init__(self, queries: Matrix, gallery: Matrix) -> None:
        self._queries = unit_rows(queries, "queries")
        self._gallery = self._queries if gallery is queries else unit_rows(gallery, "gallery")
        if self._queries.shape[1] != self._gallery.shape[1]:
            raise DataError(
                "queries and gallery lie in spaces of different dimension",
                code="DATA_SHAPE",
                field="gallery",
                expected=self._queries.shape[1],
                got=self._gallery.shape[1],
            )

    @property
    def shape(self) -> tuple[int, int]:
        return len(self._queries), len(self._gallery)

    def rows(self, start: int, stop: int) -> Matrix:
        return self._queries[start:stop] @ self._gallery.T


def unit_rows(x: Matrix, field: str = "features") -> Matrix:
    """Rows (N, D) of length 1, in float64 where given so, else float32; zeros stay zeros.

    Raises DataError for values that are not finite, naming the row.

    >>> unit_rows(np.array([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [[0.6, 0.8], [0.0, 0.0]]
    """
    x = x if x.dtype == np.float64 else x.astype(np.float32)
    bad = np.flatnonzero(~np.isfinite(x).all(axis=1))
    if len(bad):
        raise DataError(
            f"{len(bad)} rows are not finite",
            code="DATA_NOT_FINITE",
            field=field,
            got=f"row {bad[0]}",
            fix="compute the features again",
        )
    largest = np.abs(x).max(axis=1, keepdims=True, initial=0.0)
    x = x / np.where(largest > 0, largest, 1)  # else squares of tiny or huge numbers leave the range of floats
    length = np.linalg.norm(x, axis=1, keepdims=True)
    return x / np.where(length > 0, length, 1)
