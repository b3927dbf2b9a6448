"""Statistics of masked series, vectorised over a batch.

Axes: B samples, C channels, T steps, S segments. `x` is float64 (B, C, T) with unobserved entries 0 and `m` bool
(B, C, T) marks the observed ones; every statistic of a channel without a single observation is 0.
"""

import numpy as np
from numpy.typing import NDArray

from modalities.spec import Signal

Series = NDArray[np.float64]
Mask = NDArray[np.bool_]

LOG_FLOOR = 1e-6
"""Added before every logarithm of a power: a silent channel stays finite."""
_FLOOR = 1e-12  # below this a variance is rounding noise, not signal


def of_signal(signal: Signal) -> tuple[Series, Mask]:
    """`x` and `m` of a sensor signal; nothing of an absent sample is observed."""
    x = signal.values.detach().cpu().numpy().astype(np.float64)
    present = signal.present.cpu().numpy()[:, None, None]
    m = np.broadcast_to(present, x.shape) if signal.mask is None else signal.mask.cpu().numpy() & present
    return np.where(m, x, 0.0), m


def count(m: Mask) -> Series:
    """Observed steps per channel, at least 1: (B, C)."""
    return np.maximum(m.sum(axis=2), 1).astype(np.float64)


def mean(x: Series, m: Mask) -> Series:
    """(B, C)."""
    return np.where(m, x, 0.0).sum(axis=2) / count(m)


def moments(x: Series, m: Mask) -> Series:
    """Mean, standard deviation, minimum, maximum, skewness, kurtosis: (B, C, 6)."""
    average = mean(x, m)
    centred = np.where(m, x - average[:, :, None], 0.0)
    variance = mean(centred**2, m)
    std = np.sqrt(variance)
    steady = np.where(variance > _FLOOR, variance, np.inf)
    skewness = mean(centred**3, m) / steady**1.5
    kurtosis = mean(centred**4, m) / steady**2
    seen = m.any(axis=2)
    low = np.where(seen, np.where(m, x, np.inf).min(axis=2), 0.0)
    high = np.where(seen, np.where(m, x, -np.inf).max(axis=2), 0.0)
    return np.stack([average, std, low, high, skewness, kurtosis], axis=2)


def mean_absolute_difference(x: Series, m: Mask) -> Series:
    """Mean |x[t+1] - x[t]| over pairs of adjacent observed steps: (B, C)."""
    pairs = m[:, :, 1:] & m[:, :, :-1]
    return mean(np.abs(np.diff(x, axis=2)), pairs)


def log_deviations(x: Series, m: Mask) -> Series:
    """log of variance and of mean squared difference: (B, C, 2). Their ratio is a frequency, their course linear."""
    centred = np.where(m, x - mean(x, m)[:, :, None], 0.0)
    pairs = m[:, :, 1:] & m[:, :, :-1]
    powers = np.stack([mean(centred**2, m), mean(np.diff(x, axis=2) ** 2, pairs)], axis=2)
    return np.log(powers + LOG_FLOOR)


def quantiles(x: Series, m: Mask, levels: tuple[float, ...]) -> Series:
    """Linearly interpolated quantiles (numpy's default definition): (B, C, len(levels))."""
    ordered = np.sort(np.where(m, x, np.inf), axis=2)
    position = np.asarray(levels) * (count(m)[:, :, None] - 1)
    below = np.floor(position).astype(np.int64)
    above = np.ceil(position).astype(np.int64)
    low, high = (np.take_along_axis(ordered, index, axis=2) for index in (below, above))
    seen = m.any(axis=2, keepdims=True)
    low, high = np.where(seen, low, 0.0), np.where(seen, high, 0.0)
    return low + (high - low) * (position - below)


def lengths(m: Mask) -> NDArray[np.int64]:
    """Steps up to the last observed one in any channel, at least 1: (B,)."""
    steps = np.arange(1, m.shape[2] + 1)
    return np.maximum((m.any(axis=1) * steps).max(axis=1), 1)


def segment_statistics(x: Series, m: Mask, segments: int) -> Series:
    """Mean, then standard deviation, of equal parts of each sample's own length: (B, C, 2 S). Empty parts give 0."""
    edges = lengths(m)[:, None] * np.arange(segments + 1) // segments
    observed = _between(m.astype(np.float64), edges)
    present = np.maximum(observed, 1.0)
    centred = np.where(m, x - mean(x, m)[:, :, None], 0.0)  # cancellation in E[x^2] - E[x]^2 stays small
    shifted = _between(centred, edges) / present
    variance = _between(centred**2, edges) / present - shifted**2
    averages = np.where(observed > 0, shifted + mean(x, m)[:, :, None], 0.0)
    return np.concatenate([averages, np.sqrt(np.maximum(variance, 0.0))], axis=2)


def _between(values: Series, edges: NDArray[np.int64]) -> Series:
    """Sums of values (B, C, T) between consecutive edges (B, S + 1): (B, C, S)."""
    running = np.concatenate([np.zeros_like(values[:, :, :1]), np.cumsum(values, axis=2)], axis=2)
    at_edges = np.take_along_axis(running, edges[:, None, :], axis=2)
    return np.diff(at_edges, axis=2)


def filled(x: Series, m: Mask) -> Series:
    """Gaps closed by linear interpolation, ends held; the steps after a sample's length hold its last value."""
    steps = np.broadcast_to(np.arange(x.shape[2]), x.shape)
    before = np.maximum.accumulate(np.where(m, steps, -1), axis=2)
    last = x.shape[2]
    after = np.minimum.accumulate(np.where(m, steps, last)[:, :, ::-1], axis=2)[:, :, ::-1]
    left = np.where(before >= 0, before, np.minimum(after, last - 1))
    right = np.where(after < last, after, np.maximum(before, 0))
    low, high = np.take_along_axis(x, left, axis=2), np.take_along_axis(x, right, axis=2)
    share = (steps - left) / np.maximum(right - left, 1)
    return np.where(m.any(axis=2, keepdims=True), low + (high - low) * np.clip(share, 0.0, 1.0), 0.0)


def resampled(x: Series, m: Mask, frames: int) -> Series:
    """Values at equally spaced moments from first to last step, linearly interpolated: (B, C, frames)."""
    whole = filled(x, m)
    position = np.linspace(0.0, 1.0, frames)[None, :] * (lengths(m)[:, None] - 1)
    below = np.floor(position).astype(np.int64)
    above = np.ceil(position).astype(np.int64)
    low, high = (np.take_along_axis(whole, index[:, None, :], axis=2) for index in (below, above))
    return low + (high - low) * (position - below)[:, None, :]


def log_spectrum(x: Series, m: Mask, bins: int) -> Series:
    """log of mean spectral power in `bins` equal frequency bands without the constant term: (B, C, bins).

    Gaps are interpolated, the mean removed and a Hann window laid over each sample's own length: without it the drift
    of a slow channel leaks into every band. Power is per step, so that samples of different length compare. Fewer
    bands than `bins` come back where T // 2 < bins.
    """
    size = lengths(m)[:, None, None]
    power = np.abs(np.fft.rfft(_deviations(x, m) * _hann(size, x.shape[2]), axis=2)[:, :, 1:]) ** 2 / size
    edges = np.linspace(0, power.shape[2], min(bins, power.shape[2]) + 1).astype(np.int64)
    return np.log(np.add.reduceat(power, edges[:-1], axis=2) / np.diff(edges) + LOG_FLOOR)


def _hann(size: NDArray[np.int64], steps: int) -> Series:
    """Window over the first `size` (B, 1, 1) of `steps` steps, zero after them: (B, 1, T)."""
    t = np.arange(steps)
    return np.where(t < size, 0.5 - 0.5 * np.cos(2 * np.pi * t / np.maximum(size - 1, 1)), 0.0)


def _deviations(x: Series, m: Mask) -> Series:
    """The gap-free series less its mean, zero in the padding: (B, C, T)."""
    size = lengths(m)[:, None, None]
    inside = np.arange(x.shape[2]) < size
    whole = np.where(inside, filled(x, m), 0.0)
    return np.where(inside, whole - whole.sum(axis=2, keepdims=True) / size, 0.0)


def autocorrelations(x: Series, m: Mask, lags: tuple[int, ...]) -> Series:
    """Correlation of the gap-free series with itself `lag` steps later: (B, C, len(lags)). 0 where it is too short.

    r[k] = sum_t d[t] d[t + k] / (n - k) / var, d the deviations from the mean, n the sample's length.
    """
    d = _deviations(x, m)
    size = lengths(m)[:, None]
    variance = (d**2).sum(axis=2) / size
    steady = np.where(variance > _FLOOR, variance, np.inf)
    shifted = [(d[:, :, : -lag or None] * d[:, :, lag:]).sum(axis=2) / np.maximum(size - lag, 1) for lag in lags]
    return np.stack([product / steady for product in shifted], axis=2)


def correlations(x: Series, m: Mask) -> Series:
    """Pearson correlation of every pair of channels over steps both observe: (B, C (C - 1) / 2)."""
    weight = m.astype(np.float64)
    centred = np.where(m, x - mean(x, m)[:, :, None], 0.0)
    both = np.maximum(weight @ weight.transpose(0, 2, 1), 1.0)
    left_sum = centred @ weight.transpose(0, 2, 1) / both
    left_square = centred**2 @ weight.transpose(0, 2, 1) / both
    covariance = centred @ centred.transpose(0, 2, 1) / both - left_sum * left_sum.transpose(0, 2, 1)
    variance = np.maximum(left_square - left_sum**2, 0.0)
    scale = np.sqrt(variance * variance.transpose(0, 2, 1))
    table = np.where(scale > _FLOOR, covariance / np.maximum(scale, _FLOOR), 0.0)
    first, second = np.triu_indices(x.shape[1], k=1)
    return np.clip(table[:, first, second], -1.0, 1.0)
