"""Channels that are found by name; their units and their rate must be those that the encoder knows."""

from collections.abc import Sequence

from modalities.sensor.codec import SensorSchema
from modalities.spec import SignalError

_SHOWN_LETTERS = 40
_RATE_TOLERANCE = 1e-6
ABSENT = -1


def rows_by_name(schema: SensorSchema, names: Sequence[str]) -> list[int]:
    """Position in `names` of each channel of the schema, ABSENT where it is not among them."""
    places = {name: row for row, name in enumerate(names)}
    return [places.get(name, ABSENT) for name in schema.channels]


def check_units(schema: SensorSchema, units: Sequence[str], rows: Sequence[int], *, named: int) -> None:
    """Raises SignalError where the unit of a channel found in `rows` is another. named: channels that units stand for.

    A unit that only one side knows cannot be compared, and is refused too.
    """
    found = [(place, row) for place, row in enumerate(rows) if row != ABSENT]
    expected = [schema.units[place] for place, _ in found] if schema.units else []
    got = [units[row][:_SHOWN_LETTERS] for _, row in found] if len(units) == named else len(units)
    if got != (expected or 0):
        fix = "convert the readings to the model's units" if expected else "leave units out: the model knows none"
        raise SignalError("DATA_UNIT", "the series has other units", expected=expected, got=got, fix=fix)


def check_rate(schema: SensorSchema, rate_hz: float) -> None:
    """Raises SignalError for another rate than the schema's."""
    if abs(rate_hz - schema.rate_hz) > _RATE_TOLERANCE * schema.rate_hz:
        fix = "resample the series to the model's rate"
        raise SignalError("DATA_RATE", "the series has another rate", expected=schema.rate_hz, got=rate_hz, fix=fix)
