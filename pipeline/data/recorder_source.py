"""Recordings whose files name channels, units, rate and a local start time."""

from datetime import datetime
from typing import Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from pipeline.data.named_source import NamedSource
from pipeline.data.raw_files import MAX_FILE_BYTES
from pipeline.data.series import Series
from pipeline.data.timestamps import check_rate, local_to_utc, time_zone
from pipeline.errors import DataError

_BYTES = 8  # of a value in memory


class RecorderSource(NamedSource):
    """Base of the sources of recording devices' formats."""

    units: tuple[str, ...] = ()
    """Unit of each channel as the file must state it; empty does not check. Convert with scale."""
    zone: str | None = Field(default=None, min_length=1)
    """Zone of the recorder's clock, such as Europe/Berlin or UTC; null leaves the start time in the file unused."""

    @field_validator("zone")
    @classmethod
    def _known_zone(cls, zone: str | None) -> str | None:
        if zone is not None:
            time_zone(zone)
        return zone

    @model_validator(mode="after")
    def _a_unit_each(self) -> "RecorderSource":
        if self.units and len(self.units) != len(self.names):
            raise ValueError(f"units must name {len(self.names)} units, one per channel; got {len(self.units)}")
        return self

    @property
    def clock(self) -> Literal["record", "utc"] | None:
        """UTC where the zone is known."""
        return None if self.zone is None else "utc"

    def check_units(self, found: list[str]) -> None:
        """Units of the channels in declared order. Raises DataError."""
        if self.units and found != list(self.units):
            raise DataError(
                "the file states other units",
                code="DATA_UNITS",
                expected=list(self.units),
                got=found,
                fix="declare the file's units, and convert with scale",
            )

    def check_size(self, num_steps: int) -> None:
        """Steps of all channels, before memory is taken for them. Raises DataError."""
        if num_steps * len(self.names) * _BYTES > MAX_FILE_BYTES:
            raise DataError("the recording is too long", code="DATA_TOO_LARGE", expected=MAX_FILE_BYTES, got=num_steps)

    def recorded(self, values: np.ndarray, *, rate_hz: float, start: datetime | None) -> Series:
        """Values (C, T) in declared order, sampled at rate_hz from `start` in the recorder's zone, as a series."""
        check_rate(rate_hz, rate_hz=self.rate_hz, tolerance=self.rate_tolerance)
        first_ns = None
        if self.zone is not None:
            if start is None:
                raise DataError("the file has no start time", code="DATA_TIME", fix="set zone: null")
            first_ns = local_to_utc(start, self.zone)
        return self.finish(values, first_ns=first_ns)
