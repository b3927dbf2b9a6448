"""Percentile intervals over resampled groups: rows of one group, such as a subject's, are not independent.

Resampling rows would claim far too much certainty. Axes: N rows, G groups, R resamples.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Interval = tuple[float, float]


def group_interval(
    values: NDArray[np.floating] | Sequence[float],
    groups: NDArray[np.str_],
    *,
    rng: np.random.Generator,
    weights: Sequence[float] | None = None,
    resamples: int = 2000,
) -> Interval | None:
    """95 % of the mean of rows, sum(values) / sum(weights), resampling whole groups; None where there is only one.

    values: (N,) such as 1 where right, or the steps of a sequence that are. weights: (N,), such as its steps; 1 each
    where not given.
    """
    found = group_resamples(groups, rng=rng, resamples=resamples)
    if found is None:
        return None
    member, times = found
    total, size = np.bincount(member, weights=values), np.bincount(member, weights=weights)
    return percentile_interval(times @ total / (times @ size))


def percentile_interval(resampled: NDArray[np.floating]) -> Interval:
    """The middle 95 % of a figure's values (R,) over resamples."""
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(low), float(high)


def group_resamples(
    groups: NDArray[np.str_], *, rng: np.random.Generator, resamples: int = 2000
) -> tuple[Rows, Rows] | None:
    """Number of each row's group (N,), and how often each group is drawn (R, G); None for one group."""
    names, member = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return None
    return member, rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
