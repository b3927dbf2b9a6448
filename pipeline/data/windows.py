"""Long recordings become many samples: windows of fixed length and stride, in seconds."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from pydantic import Field, PositiveFloat

from modalities.spec import Config
from pipeline.data.series import Series
from pipeline.errors import DataError

_MAX_DELAY_NS = 24 * 3600 * 10**9


class WindowConfig(Config):
    """How recordings are cut. Window w covers [w * stride_s, w * stride_s + length_s)."""

    length_s: PositiveFloat
    """Length of a window in seconds."""
    stride_s: PositiveFloat
    """Distance between the starts of neighbouring windows in seconds."""
    min_fraction: float = Field(default=1.0, gt=0, le=1)
    """A series takes part in a window when it covers at least this share of the window's steps."""
    min_observed: float = Field(default=0.5, ge=0, le=1)
    """... and at least this share of its covered entries is not NaN."""


@dataclass(frozen=True)
class Window:
    """Series of one window; start_s is measured from the record's first step. steps: label -> classes (T,)."""

    number: int
    start_s: float
    length_s: float
    series: dict[str, Series]
    steps: dict[str, np.ndarray] = field(default_factory=dict)

    def steps_of(self, stream: str, classes: np.ndarray) -> np.ndarray | None:
        """Those of a whole record's classes (T,) that belong to this window; None where the stream is absent."""
        if stream not in self.series:
            return None
        own = self.series[stream]
        start = round(self.start_s * own.rate_hz)
        return classes[start : start + own.values.shape[1]]


def align(series: Mapping[str, Series]) -> tuple[dict[str, Series], int | None]:
    """Bring timed series to one origin, the earliest first stamp, by NaN steps in front; also returns that origin.

    Steps stay on each series' own grid: they are off by at most half a step. Series without stamps start at the origin.
    Raises DataError when the series start more than a day apart.
    """
    stamps = [s.first_ns for s in series.values() if s.first_ns is not None]
    if not stamps:
        return dict(series), None
    origin = min(stamps)
    return {name: _delay(s, origin) for name, s in series.items()}, origin


def _delay(series: Series, origin_ns: int) -> Series:
    if series.first_ns is None:
        return series
    delay_ns = series.first_ns - origin_ns
    if delay_ns > _MAX_DELAY_NS:
        raise DataError(
            "the streams of a record start more than a day apart",
            code="DATA_TIME",
            expected=f"<= {_MAX_DELAY_NS} ns",
            got=delay_ns,
            fix="check the clock and unit of the time columns, or split the record",
        )
    steps = round(delay_ns * series.rate_hz / 1e9)
    before = np.full((len(series.values), steps), np.nan, np.float32)
    return Series(np.concatenate([before, series.values], axis=1), series.rate_hz, origin_ns)


def cut(series: Mapping[str, Series], config: WindowConfig, *, required: frozenset[str]) -> tuple[list[Window], int]:
    """All windows of one record, and how many were dropped because a required series does not cover them.

    A window needs every required series, and at least one. Windows end where the longest series ends.
    """
    end_s = max(s.values.shape[1] / s.rate_hz for s in series.values())
    windows, dropped = [], 0
    for number in range(_num_starts(end_s, config)):
        start_s = number * config.stride_s
        pieces = {name: _piece(s, start_s, config.length_s) for name, s in series.items()}
        kept = {name: p for name, p in pieces.items() if _enough(p, config)}
        if kept and required & series.keys() <= kept.keys():
            windows.append(Window(number, start_s, config.length_s, kept))
        else:
            dropped += 1
    return windows, dropped


def _num_starts(end_s: float, config: WindowConfig) -> int:
    """Starts from which at least min_fraction of a window lies in the record, and at least one."""
    room = end_s - config.min_fraction * config.length_s
    return max(1, int(np.floor(room / config.stride_s + 1e-6)) + 1)


def _piece(series: Series, start_s: float, length_s: float) -> Series:
    start, steps = round(start_s * series.rate_hz), round(length_s * series.rate_hz)
    return Series(series.values[:, start : start + steps], series.rate_hz, series.first_ns)


def _enough(piece: Series, config: WindowConfig) -> bool:
    steps = round(config.length_s * piece.rate_hz)
    covered = piece.values.shape[1] >= max(1, config.min_fraction * steps - 1e-6)
    return bool(covered) and float(np.isfinite(piece.values).mean()) >= config.min_observed
