"""A sensor series as a request states it: readings with their channels, rate and units, which are matched by name."""

from collections.abc import Sequence

import numpy as np
from pydantic import Field, ValidationError

from modalities.sensor.channels import check_rate, check_units, rows_by_name
from modalities.sensor.codec import SensorSchema
from modalities.spec import Config, SignalError, Statistics

_SHOWN_NAMES, _SHOWN_LETTERS = 5, 40
Rows = list[list[object]]


class SensorRequest(Config):
    """One series of a request."""

    values: list[list[object]] = Field(min_length=1)
    """Readings of each channel, null where unobserved."""
    channels: list[str] = Field(min_length=1)
    """Name of each row of `values`, in any order."""
    rate_hz: float = Field(gt=0)
    """Readings a second."""
    units: list[str] = Field(default_factory=list)
    """Unit of each row of `values`; needed where the schema knows units."""


def parse_series(schema: SensorSchema, value: object) -> np.ndarray:
    """Readings (C, T) float64 in the schema's order, NaN where unobserved. Raises SignalError without any reading."""
    request = _read(value)
    _check_channels(schema, request.channels)
    order = rows_by_name(schema, request.channels)
    check_units(schema, request.units, order, named=len(request.channels))
    check_rate(schema, request.rate_hz)
    if len(request.values) != len(order):
        raise _misshapen(schema, f"{len(request.values)} rows")
    return _numbers(schema, [request.values[row] for row in order])


def series_example(schema: SensorSchema, statistics: Statistics) -> dict[str, object]:
    """A request that shows the form and is nobody's data: every channel at its training mean."""
    steps = min(schema.max_steps, 8)
    return {
        "values": [[round(mean, 6)] * steps for mean in statistics["mean"]],
        "channels": list(schema.channels),
        "rate_hz": schema.rate_hz,
        "units": list(schema.units),
    }


def _read(value: object) -> SensorRequest:
    try:
        return SensorRequest.model_validate(value, strict=True)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False, include_context=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise SignalError(
            "DATA_REQUEST",
            f"a sensor stream is an object of values, channels, rate_hz and units; {where}: {first['msg']}",
        ) from None


def _check_channels(schema: SensorSchema, names: Sequence[str]) -> None:
    missing = [name for name in schema.channels if name not in names]
    unknown = [name[:_SHOWN_LETTERS] for name in names if name not in schema.channels]
    if missing or unknown or len(names) != len(schema.channels):
        raise SignalError(
            "DATA_CHANNELS",
            "channels are missing, unknown or named twice",
            expected=list(schema.channels),
            got={"count": len(names), "missing": missing[:_SHOWN_NAMES], "unknown": unknown[:_SHOWN_NAMES]},
            fix="name every channel of the model once, in any order",
        )


def _numbers(schema: SensorSchema, rows: Rows) -> np.ndarray:
    lengths = {len(row) for row in rows}
    if len(lengths) != 1 or not 1 <= max(lengths) <= schema.max_steps:
        raise _misshapen(schema, f"rows of {min(lengths)}..{max(lengths)} readings")
    kinds = {type(reading) for row in rows for reading in row}
    if wrong := sorted(kind.__name__ for kind in kinds - {int, float, type(None)}):
        raise SignalError("DATA_DTYPE", "a reading is no number", expected="number or null", got=wrong)
    try:
        return np.array(rows, np.float64)
    except OverflowError:
        raise SignalError("DATA_RANGE", "a reading is out of range", expected=f"<= {schema.limit:g}") from None


def _misshapen(schema: SensorSchema, got: str) -> SignalError:
    expected = f"{len(schema.channels)} rows of 1..{schema.max_steps} readings each"
    return SignalError("DATA_SHAPE", "the readings have a wrong shape", expected=expected, got=got)
