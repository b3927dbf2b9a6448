"""The shape of a representation: alignment, uniformity, effective rank, CKA, modality gap.

Uniformity, effective rank and the alignment of pairs are those that training monitors (`pipeline/train/health.py`).
"""

import numpy as np
import torch
from numpy.typing import NDArray

from modalities.draws import derive_seed
from pipeline.data.permutation import permute
from pipeline.errors import DataError, NotMeasurable
from pipeline.evaluate.similarity import Matrix, unit_rows
from pipeline.train.health import alignment, effective_rank, uniformity

MOST_SAMPLES = 2048
"""Samples that are looked at; of more, that many are drawn by a fixed key."""


def some_rows(number: int) -> NDArray[np.int64]:
    """Sorted rows that stand for all of them."""
    if number <= MOST_SAMPLES:
        return np.arange(number)
    return np.sort(permute(np.arange(MOST_SAMPLES), size=number, key=derive_seed("representation")))


def class_alignment(x: Matrix, y: NDArray[np.int64]) -> float:
    """Mean squared distance of unit vectors (N, D) over all pairs of one class y (N,), -1 = unlabelled.

    Raises NotMeasurable where no two samples share a class.
    """
    z, total, pairs = unit_rows(x).astype(np.float64), 0.0, 0
    for c in np.unique(y[y >= 0]):
        own = z[y == c]
        total += len(own) * float((own**2).sum()) - float((own.sum(axis=0) ** 2).sum())  # over unordered pairs
        pairs += len(own) * (len(own) - 1) // 2
    if not pairs:
        raise _too_few("alignment needs two samples of one class", "1 pair of one class", 0)
    return total / pairs


def pair_alignment(x: Matrix, y: Matrix) -> float:
    """Mean squared distance of unit vectors (N, D) and (N, D), row by row: of one sample in two streams."""
    return alignment(torch.from_numpy(unit_rows(x)), torch.from_numpy(unit_rows(y)))


def spread(x: Matrix) -> float:
    """Uniformity: log mean exp(-2 d^2) over pairs of unit vectors (N, D); lower is more even."""
    if len(x) < 2:
        raise _too_few("uniformity needs two samples", 2, len(x))
    return uniformity(torch.from_numpy(unit_rows(x)))


def centred_rank(x: Matrix) -> float:
    """Effective rank of (N, D) about its mean: the number of directions that matter."""
    return effective_rank(torch.from_numpy(np.ascontiguousarray(x - x.mean(axis=0))))


def modality_gap(x: Matrix, y: Matrix) -> float:
    """Distance of the mean unit vectors of two streams (N, D) in one space (arXiv 2203.02053, section 2)."""
    return float(np.linalg.norm(unit_rows(x).mean(axis=0) - unit_rows(y).mean(axis=0)))


def cka(x: Matrix, y: Matrix) -> float:
    """Linear CKA (arXiv 1905.00414) of the same samples in two representations (N, D), (N, E), with the unbiased HSIC
    of Song et al. (JMLR 13, 2012, eq. 5): 1 up to rotation and scale, about 0 for unrelated ones of any dimension.

    The biased form is near 1 for unrelated representations of more dimensions than samples. Raises NotMeasurable for
    fewer than four samples, or where one representation is constant.
    """
    if len(x) != len(y):
        raise DataError("CKA compares the same samples", code="DATA_SHAPE", expected=len(x), got=len(y))
    if len(x) < 4:
        raise _too_few("CKA needs four samples", 4, len(x))
    first, second = _gram(x), _gram(y)
    scale = _hsic(first, first) * _hsic(second, second)
    if scale <= 0:
        raise _too_few("CKA needs representations that vary", "variance above 0", 0)
    return _hsic(first, second) / scale**0.5


def _gram(x: Matrix) -> NDArray[np.float64]:
    if not np.isfinite(x).all():
        raise DataError("features are not finite", code="DATA_NOT_FINITE", field="features")
    x = x.astype(np.float64) - x.mean(axis=0, dtype=np.float64)
    gram = x @ x.T
    np.fill_diagonal(gram, 0.0)
    return gram


def _hsic(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    n = len(a)
    trace, sums = float((a * b).sum()), (a.sum(axis=0), b.sum(axis=0))
    corner = float(sums[0].sum() * sums[1].sum()) / ((n - 1) * (n - 2))
    return (trace + corner - 2 / (n - 2) * float(sums[0] @ sums[1])) / (n * (n - 3))


def _too_few(message: str, expected: object, got: object) -> NotMeasurable:
    return NotMeasurable(message, code="DATA_TOO_FEW", field="samples", expected=expected, got=got)
