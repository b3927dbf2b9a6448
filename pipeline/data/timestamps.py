"""Times become int64 nanoseconds: UTC since 1970, or since an arbitrary origin. Local time is refused."""

import re
from datetime import UTC, datetime
from decimal import Decimal
from typing import Literal, TypeAlias
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np

from pipeline.errors import DataError

TimeUnit: TypeAlias = Literal["s", "ms", "us", "ns", "iso"]

_FACTORS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}
_ZONE = re.compile(r"(?:[zZ]|[+-]\d\d:?\d\d)$")
_YEAR_1990_NS, _YEAR_2100_NS = 631_152_000 * 10**9, 4_102_444_800 * 10**9
_FARTHEST_NS = 9e18  # about the largest int64
_MAX_STRETCH = 100
"""A recording may be this many times longer than its stamps fill: one wrong stamp must not take all memory."""


def parse_time(cell: str, unit: TimeUnit) -> int:
    """One UTC time as nanoseconds since 1970. Raises DataError for local times and implausible years."""
    try:
        nanoseconds = _parse_iso(cell) if unit == "iso" else _parse_number(cell, _FACTORS[unit])
    except (ValueError, ArithmeticError) as error:
        raise DataError(
            f"{cell!r} is no time in unit {unit!r} with a known zone",
            code="DATA_TIME",
            got=cell,
            fix="store UTC, with Z or an offset such as +02:00" if unit == "iso" else "store UTC since 1970",
        ) from error
    check_plausible(nanoseconds)
    return nanoseconds


def _parse_number(cell: str, factor: int) -> int:
    nanoseconds = Decimal(cell) * factor
    if not abs(nanoseconds) < _YEAR_2100_NS * 10**9:
        raise ValueError("far out of range")  # before a short text becomes an integer of a million digits
    return int(nanoseconds)


def _parse_iso(cell: str) -> int:
    if not _ZONE.search(cell):
        raise ValueError("no zone")
    return _since_1970(datetime.fromisoformat(cell))


def _since_1970(moment: datetime) -> int:
    elapsed = moment - datetime(1970, 1, 1, tzinfo=UTC)
    return (elapsed.days * 86_400 + elapsed.seconds) * 10**9 + elapsed.microseconds * 1000


def time_zone(name: str) -> ZoneInfo:
    """The IANA zone of this name. Raises ValueError."""
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, OSError) as error:
        raise ValueError(f"no such time zone: {name}") from error


def local_to_utc(moment: datetime, zone: str) -> int:
    """A recorder's local time in a known zone as nanoseconds since 1970 UTC.

    Raises DataError where the clock was put back or forward and the time names two moments or none.
    """
    first, second = (moment.replace(tzinfo=time_zone(zone), fold=fold) for fold in (0, 1))
    if first.utcoffset() != second.utcoffset():
        raise DataError(
            f"{moment.isoformat()} in {zone} is ambiguous: the clock was changed there",
            code="DATA_TIME",
            got=moment.isoformat(),
            fix="store UTC, or set zone: null",
        )
    nanoseconds = _since_1970(first)
    check_plausible(nanoseconds)
    return nanoseconds


def check_plausible(nanoseconds: int) -> None:
    """Raises DataError outside 1990..2100, which is what a wrong unit looks like."""
    if not _YEAR_1990_NS <= nanoseconds < _YEAR_2100_NS:
        raise DataError(
            "a UTC time outside the years 1990 to 2100",
            code="DATA_TIME",
            got=nanoseconds,
            fix="check the unit of the time column (s, ms, us or ns)",
        )


def stamps_from_column(values: np.ndarray, unit: TimeUnit) -> np.ndarray:
    """(T,) numbers or ISO texts -> (T,) int64 nanoseconds. Raises DataError with the first bad index."""
    if unit == "iso":
        return np.array([parse_time(str(value), unit) for value in values], np.int64)
    if np.issubdtype(values.dtype, np.integer):
        far = np.abs(values.astype(np.float64)) * _FACTORS[unit] >= _FARTHEST_NS
        if far.any():
            raise _bad_stamp(int(far.argmax()))
        return values.astype(np.int64) * _FACTORS[unit]
    if not np.issubdtype(values.dtype, np.floating):
        raise DataError("the time column is not numeric", code="DATA_TIME", got=str(values.dtype))
    seconds = values.astype(np.float64) * (_FACTORS[unit] / 1e9)
    bad = ~(np.abs(seconds) < _FARTHEST_NS / 1e9)
    if bad.any():
        raise _bad_stamp(int(bad.argmax()))
    return np.round(values.astype(np.float64) * _FACTORS[unit]).astype(np.int64)


def _bad_stamp(index: int) -> DataError:
    return DataError(
        "a time stamp is missing or too large",
        code="DATA_TIME",
        got=f"index {index}",
        fix="check the unit of the time column (s, ms, us or ns)",
    )


def check_stamps(stamps_ns: np.ndarray, *, rate_hz: float, tolerance: float) -> None:
    """Strictly increasing, and the median interval within `tolerance` (relative) of 1 / rate_hz. Raises DataError."""
    intervals = np.diff(stamps_ns)
    if len(intervals) == 0:
        return
    if (intervals <= 0).any():
        index = int((intervals <= 0).argmax()) + 1
        raise DataError(
            f"time stamps do not increase at index {index}",
            code="DATA_TIME",
            expected=f"> {int(stamps_ns[index - 1])} ns",
            got=int(stamps_ns[index]),
            fix="sort the rows by time and remove repeated stamps",
        )
    check_rate(1e9 / float(np.median(intervals)), rate_hz=rate_hz, tolerance=tolerance)


def check_rate(found_hz: float, *, rate_hz: float, tolerance: float) -> None:
    """Raises DataError when the found rate is not the declared one."""
    if abs(found_hz - rate_hz) > tolerance * rate_hz:
        raise DataError(
            f"sampled at {found_hz:.6g} Hz, declared {rate_hz:.6g} Hz",
            code="DATA_RATE",
            expected=rate_hz,
            got=round(found_hz, 6),
            fix="declare the true rate_hz and set resample_hz to the rate you want",
        )


def to_grid(
    values: np.ndarray, stamps_ns: np.ndarray, *, rate_hz: float, max_gap: float = 2.5, nearest: bool = False
) -> np.ndarray:
    """(C, T) at irregular stamps -> (C, T') on the grid first + k / rate_hz, linearly interpolated or the nearest step.

    NaN where the two neighbouring stamps lie more than `max_gap` intervals apart, or one of the two values is NaN.
    Raises DataError when the stamps span far more time than they fill.
    """
    elapsed = (stamps_ns - stamps_ns[0]) * (rate_hz / 1e9)
    steps = round(float(elapsed[-1])) + 1
    if steps > _MAX_STRETCH * len(stamps_ns):
        raise DataError(
            f"{len(stamps_ns)} stamps span {steps} steps", code="DATA_TIME", fix="split the recording at its long gaps"
        )
    grid = np.arange(steps, dtype=np.float64)
    right = np.clip(np.searchsorted(elapsed, grid), 1, max(len(elapsed) - 1, 1))
    if len(elapsed) == 1:
        return values.copy()
    left = right - 1
    weight = np.clip((grid - elapsed[left]) / (elapsed[right] - elapsed[left]), 0.0, 1.0)
    on_grid = _blend(values[:, left], values[:, right], (weight > 0.5).astype(float) if nearest else weight)
    on_grid[:, (elapsed[right] - elapsed[left] > max_gap + 1e-6) & (weight > 0) & (weight < 1)] = np.nan
    return on_grid


def _blend(left: np.ndarray, right: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """(1 - w) left + w right, where a NaN counts only when its weight is not zero."""
    blended = left * (1 - weight) + right * weight
    return np.where(weight == 0, left, np.where(weight == 1, right, blended))
