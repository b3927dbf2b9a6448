"""Change of the sampling rate of series with unobserved entries."""

import math
from fractions import Fraction

import numpy as np

_MAX_FACTOR = 10_000


def rate_ratio(from_hz: float, to_hz: float) -> Fraction:
    """to / from as a small fraction. Raises ValueError when there is none within 1e-6."""
    ratio = Fraction(to_hz / from_hz).limit_denominator(_MAX_FACTOR)
    if ratio == 0 or ratio.numerator > _MAX_FACTOR or abs(float(ratio) * from_hz / to_hz - 1) > 1e-6:
        raise ValueError(f"no ratio of integers up to {_MAX_FACTOR} for {from_hz} Hz -> {to_hz} Hz")
    return ratio


def resample(values: np.ndarray, *, from_hz: float, to_hz: float, nearest: bool = False) -> np.ndarray:
    """(C, T) -> (C, ceil(T * to / from)) with an anti-aliasing polyphase filter (scipy.signal.resample_poly).

    Step k of the result lies at k / to_hz seconds. NaNs are filled linearly before the filter, and an output step is
    NaN where one of the input steps around its moment is: the mask keeps its place, and no NaN spreads over the filter.
    The ends are continued by the line between first and last step, so a constant stays constant.
    nearest: each output step is the input step nearest to its moment instead, the earlier one of two.
    """
    ratio = rate_ratio(from_hz, to_hz)
    if ratio == 1:
        return values
    if nearest:
        moments = np.arange(math.ceil(values.shape[1] * ratio))
        twice = 2 * moments * ratio.denominator
        before = -((ratio.numerator - twice) // (2 * ratio.numerator))  # half rounded down, in whole numbers
        return values[:, np.minimum(before, values.shape[1] - 1)]
    if values.shape[1] == 1:  # no line through one step
        return np.repeat(values, math.ceil(ratio), axis=1)
    from scipy.signal import resample_poly  # imported late: it takes a second

    missing = np.isnan(values)
    filled = _fill(values, missing) if missing.any() else values
    result = resample_poly(filled, ratio.numerator, ratio.denominator, axis=1, padtype="line")
    if missing.any():
        moments = np.arange(result.shape[1]) * ratio.denominator
        last = values.shape[1] - 1
        before = np.minimum(moments // ratio.numerator, last)
        after = np.minimum(-(-moments // ratio.numerator), last)
        result[missing[:, before] | missing[:, after]] = np.nan
    return result


def _fill(values: np.ndarray, missing: np.ndarray) -> np.ndarray:
    filled = values.copy()
    steps = np.arange(values.shape[1])
    for channel, absent in zip(filled, missing, strict=True):
        channel[absent] = 0.0 if absent.all() else np.interp(steps[absent], steps[~absent], channel[~absent])
    return filled
