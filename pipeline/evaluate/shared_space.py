"""One space for two streams whose features share none: canonical correlation analysis of training pairs.

Hotelling 1936, with a ridge (Vinod 1976). Each direction is scaled by its correlation, so that directions in which the
streams have nothing in common do not count.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import NotMeasurable
from pipeline.evaluate.similarity import Matrix

_RIDGE = 0.1
"""Added to the variances, relative to their mean: few pairs must not fit noise."""


@dataclass(frozen=True)
class SharedSpace:
    """first, second: (D, k), (E, k) projections of centred features. correlations: (k,), descending."""

    means: tuple[NDArray[np.float64], NDArray[np.float64]]
    first: NDArray[np.float64]
    second: NDArray[np.float64]
    correlations: NDArray[np.float64]

    def project_first(self, x: Matrix) -> NDArray[np.float64]:
        """(N, D) -> (N, k)."""
        return (x - self.means[0]) @ self.first

    def project_second(self, x: Matrix) -> NDArray[np.float64]:
        """(N, E) -> (N, k)."""
        return (x - self.means[1]) @ self.second


def fit_shared_space(x: Matrix, y: Matrix) -> SharedSpace:
    """From pairs, row by row: (N, D) and (N, E). Raises NotMeasurable for fewer than two pairs."""
    if len(x) < 2:
        raise NotMeasurable(
            "two streams are brought together by training samples that have both",
            code="DATA_TOO_FEW",
            field="pairs",
            expected="at least 2",
            got=len(x),
        )
    means = x.mean(axis=0, dtype=np.float64), y.mean(axis=0, dtype=np.float64)
    a, b = x - means[0], y - means[1]
    whiten = _whitening(a), _whitening(b)
    left, correlations, right = np.linalg.svd(whiten[0].T @ (a.T @ b / len(x)) @ whiten[1], full_matrices=False)
    return SharedSpace(
        means, whiten[0] @ left * correlations, whiten[1] @ right.T * correlations, np.minimum(correlations, 1.0)
    )


def _whitening(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """(D, D) symmetric inverse root of the covariance of centred rows (N, D)."""
    values, vectors = np.linalg.eigh(x.T @ x / len(x))
    values = np.maximum(values, 0) + _RIDGE * max(float(values.mean()), np.finfo(float).tiny)
    return (vectors / np.sqrt(values)) @ vectors.T
