"""Is one run better than another on the same test samples? Paired, by groups: rows of a subject are not independent."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.group_intervals import group_interval

_EXACT = 14
"""Groups up to which every assignment of signs is tried (16,384)."""


@dataclass(frozen=True)
class PairedDifference:
    """difference: of two accuracies. low, high: 95 % interval over groups. p_value: two-sided. With one group these
    are None."""

    difference: float
    low: float | None = None
    high: float | None = None
    p_value: float | None = None


def paired_difference(
    first: NDArray[np.floating],
    second: NDArray[np.floating],
    groups: NDArray[np.str_],
    *,
    rng: np.random.Generator,
    resamples: int = 10_000,
) -> PairedDifference:
    """Mean of first - second (N,), with an interval from resampled groups and a sign-flip permutation test.

    Under the null hypothesis the two are exchangeable within each group, so that the sum of a group's differences may
    as well have the other sign (Fisher 1935; exact up to 14 groups, else `resamples` random assignments with the
    observed one among them, so that no p-value is 0).
    """
    differences = first.astype(np.float64) - second
    sums = np.bincount(np.unique(groups, return_inverse=True)[1], weights=differences).astype(np.float64)
    difference = float(sums.sum() / len(differences))
    interval = group_interval(differences, groups, rng=rng, resamples=resamples)
    if interval is None:
        return PairedDifference(difference)
    return PairedDifference(difference, *interval, _sign_flips(sums, rng, resamples))


def _sign_flips(sums: NDArray[np.float64], rng: np.random.Generator, resamples: int) -> float:
    observed = abs(sums.sum()) - 1e-12 * np.abs(sums).sum()  # equal sums differ by rounding
    if len(sums) <= _EXACT:
        signs = np.array(list(product((1.0, -1.0), repeat=len(sums))))
        return float(np.mean(np.abs(signs @ sums) >= observed))
    signs = rng.choice((1.0, -1.0), size=(resamples, len(sums)))
    return float((1 + np.sum(np.abs(signs @ sums) >= observed)) / (1 + resamples))


def holm(p_values: Sequence[float]) -> list[float]:
    """p-values of a family of tests, adjusted so that the chance of one false alarm keeps its level (Holm 1979)."""
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.minimum(np.maximum.accumulate(np.asarray(p_values)[order] * factors), 1.0)
    found = np.empty(len(p_values))
    found[order] = adjusted
    return found.tolist()
