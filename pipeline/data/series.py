"""Raw series: named channels at a declared rate, made regular, referenced, resampled and cropped."""

import math
from dataclasses import dataclass, replace
from itertools import product
from typing import Literal

import numpy as np
from pydantic import Field, PositiveFloat, field_validator, model_validator

from modalities.spec import Config
from pipeline.data.file_source import FileSource
from pipeline.data.resample import rate_ratio, resample
from pipeline.data.timestamps import TimeUnit, check_plausible, check_stamps, stamps_from_column, to_grid
from pipeline.errors import DataError


@dataclass(frozen=True)
class Series:
    """(C, T) values at rate_hz, NaN where unobserved; first_ns is the moment of step 0, where the source knows it."""

    values: np.ndarray
    rate_hz: float
    first_ns: int | None = None


class TimeColumn(Config):
    """The column that holds each row's moment."""

    column: str
    """Column name in the file."""
    unit: TimeUnit = "s"
    """s, ms, us or ns as numbers, or iso for texts with a zone."""
    clock: Literal["record", "utc"] = "record"
    """utc: since 1970. record: since any origin that the timed streams of one record share."""

    @model_validator(mode="after")
    def _iso_is_utc(self) -> "TimeColumn":
        if self.unit == "iso" and self.clock != "utc":
            raise ValueError("ISO times are UTC: set clock: utc")
        return self


class SeriesSource(FileSource):
    """Base of the sources of a series."""

    channels: tuple[str, ...] | tuple[tuple[str, ...], ...] = Field(min_length=1)
    """Names of all channels in the raw data. A list of lists gives every combination: [[hip, head], [x, y]] is hip_x,
    hip_y, head_x, head_y."""
    rate_hz: PositiveFloat
    """Rate of the raw data; with a time column it is checked against the stamps."""
    resample_hz: PositiveFloat | None = None
    """Rate of the stored series; null keeps the raw rate."""
    scale: float = 1.0
    """Factor on every value, for example 9.80665 from g to m/s^2."""
    reference: tuple[str, ...] = ()
    """Channels subtracted cyclically from all channels: the three hip coordinates centre a skeleton on its hip."""
    select: tuple[str, ...] | None = None
    """Channels to keep, in this order; null keeps all."""
    crop_s: tuple[float, float] | None = None
    """Keep the steps from the first to before the second time, in seconds; null keeps all."""
    rate_tolerance: float = Field(default=0.005, ge=0, lt=1)
    """Allowed relative difference between the declared rate and the one found in the file."""
    nearest: bool = Field(default=False, exclude_if=lambda nearest: not nearest)
    """Take the nearest raw step wherever steps are moved, for readings that are codes, such as the state of a switch;
    otherwise they are interpolated."""

    @field_validator("channels")
    @classmethod
    def _distinct(cls, channels: tuple[str, ...] | tuple[tuple[str, ...], ...]) -> tuple[str, ...]:
        names = tuple(n if isinstance(n, str) else "_".join(n) for n in _combinations(channels))
        if len(set(names)) != len(names) or not names:
            raise ValueError("channel names must be distinct")
        return names

    @model_validator(mode="after")
    def _known_channels(self) -> "SeriesSource":
        unknown = sorted({*self.reference, *(self.select or ())} - set(self.names))
        if unknown:
            raise ValueError(f"unknown channels {unknown}")
        if self.reference and len(self.names) % len(self.reference):
            raise ValueError(f"{len(self.names)} channels are no multiple of {len(self.reference)} reference channels")
        if self.crop_s is not None and not 0 <= self.crop_s[0] < self.crop_s[1]:
            raise ValueError("crop_s needs 0 <= start < end")
        if self.resample_hz is not None:
            rate_ratio(self.rate_hz, self.resample_hz)
        return self

    @property
    def clock(self) -> Literal["record", "utc"] | None:
        """Which clock the source's times are of; None where it knows none."""
        return None

    @property
    def names(self) -> tuple[str, ...]:
        """Raw channel names, combinations resolved."""
        return tuple(str(name) for name in self.channels)

    @property
    def stored_channels(self) -> tuple[str, ...]:
        """Channel names of the stored series."""
        return self.names if self.select is None else self.select

    @property
    def stored_rate_hz(self) -> float:
        """Rate of the stored series."""
        return self.rate_hz if self.resample_hz is None else self.resample_hz

    def finish(
        self,
        raw: np.ndarray,
        stamps: np.ndarray | None = None,
        time: TimeColumn | None = None,
        *,
        first_ns: int | None = None,
    ) -> Series:
        """Raw values (C, T), all channels in declared order, to the stored series. Raises DataError.

        A regular series may know the moment of its first step, `first_ns`, instead of stamps.

        Order: scale, reference, select, regular grid, resample, crop.
        """
        if raw.shape[1] == 0:
            raise DataError("the series has no steps", code="DATA_EMPTY_SERIES")
        values = self._select(raw.astype(np.float64) * self.scale)
        series = Series(values, self.rate_hz, first_ns)
        if stamps is not None and time is not None:
            series = self._regular(values, stamps_from_column(stamps, time.unit), time)
        rate_hz = self.stored_rate_hz
        resampled = resample(series.values, from_hz=self.rate_hz, to_hz=rate_hz, nearest=self.nearest)
        return self._crop(replace(series, values=resampled.astype(np.float32), rate_hz=rate_hz))

    def _select(self, values: np.ndarray) -> np.ndarray:
        if self.reference:
            rows = [self.names.index(name) for name in self.reference]
            values = values - np.tile(values[rows], (len(values) // len(rows), 1))
        return values if self.select is None else values[[self.names.index(name) for name in self.select]]

    def _regular(self, values: np.ndarray, stamps_ns: np.ndarray, time: TimeColumn) -> Series:
        if time.clock == "utc":
            check_plausible(int(stamps_ns[0]))
            check_plausible(int(stamps_ns[-1]))
        check_stamps(stamps_ns, rate_hz=self.rate_hz, tolerance=self.rate_tolerance)
        on_grid = to_grid(values, stamps_ns, rate_hz=self.rate_hz, nearest=self.nearest)
        return Series(on_grid, self.rate_hz, int(stamps_ns[0]))

    def _crop(self, series: Series) -> Series:
        if self.crop_s is None:
            return series
        start, end = (round(seconds * series.rate_hz) for seconds in self.crop_s)
        cropped = series.values[:, start:end]
        if cropped.shape[1] == 0:
            raise DataError("no steps left after crop_s", code="DATA_EMPTY_SERIES", got=series.values.shape[1])
        first_ns = None if series.first_ns is None else series.first_ns + round(start * 1e9 / series.rate_hz)
        return replace(series, values=cropped, first_ns=first_ns)


def _combinations(channels: tuple[str, ...] | tuple[tuple[str, ...], ...]) -> list[str | tuple[str, ...]]:
    if all(isinstance(group, str) for group in channels):
        return list(channels)
    return list(product(*(group for group in channels if not isinstance(group, str))))


def channels_first(values: np.ndarray, layout: str, names: tuple[str, ...]) -> np.ndarray:
    """An array with axes `layout` ("TC", "CT", "TJC", "T") -> (C, T); axes other than T are flattened in order.

    Raises DataError when axes or channels do not match.
    """
    if values.ndim != len(layout) or values.dtype.kind not in "fiub":
        raise DataError(
            f"expected a numeric array with axes {layout}",
            code="DATA_SHAPE",
            expected=layout,
            got=f"{values.dtype} {list(values.shape)}",
        )
    steps = values.shape[layout.index("T")]
    channels = math.prod(size for axis, size in zip(layout, values.shape, strict=True) if axis != "T")
    flat = np.moveaxis(values, layout.index("T"), -1).reshape(channels, steps)
    if channels != len(names):
        raise DataError(
            f"{len(flat)} channels in the data, {len(names)} declared",
            code="DATA_CHANNELS",
            expected=len(names),
            got=len(flat),
            fix="list every channel of the raw data under channels",
        )
    return flat
