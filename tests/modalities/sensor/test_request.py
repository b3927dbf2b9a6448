"""Sensor series as requests state them: matched by name, refused by name, never quoted."""

import numpy as np
import pytest

from modalities.sensor.codec import SensorCodec, SensorSchema
from modalities.sensor.request import parse_series, series_example
from modalities.spec import SignalError

SCHEMA = SensorSchema(channels=("x", "y"), units=("g", "deg/s"), rate_hz=50, max_steps=4)
ROWS = [[1.0, 2, None], [4.0, 5.0, 6.0]]
GOOD = {"values": ROWS, "channels": ["x", "y"], "rate_hz": 50, "units": ["g", "deg/s"]}


def test_channels_may_come_in_any_order() -> None:
    turned = {**GOOD, "values": ROWS[::-1], "channels": ["y", "x"], "units": ["deg/s", "g"]}

    np.testing.assert_array_equal(parse_series(SCHEMA, turned), [[1, 2, np.nan], [4, 5, 6]])
    np.testing.assert_array_equal(parse_series(SCHEMA, turned), parse_series(SCHEMA, GOOD))


@pytest.mark.parametrize(
    ("change", "code", "words"),
    [
        ({"channels": ["y", "z"]}, "DATA_CHANNELS", "missing"),
        ({"channels": ["x", "x"]}, "DATA_CHANNELS", "named twice"),
        ({"channels": ["x"]}, "DATA_CHANNELS", "missing"),
        ({"rate_hz": 100}, "DATA_RATE", "another rate"),
        ({"units": ["m/s^2", "deg/s"]}, "DATA_UNIT", "other units"),
        ({"units": ["deg/s", "g"]}, "DATA_UNIT", "other units"),
        ({"units": []}, "DATA_UNIT", "other units"),
        ({"values": [[1.0]]}, "DATA_SHAPE", "wrong shape"),
        ({"values": [[1.0], [1.0, 2.0]]}, "DATA_SHAPE", "wrong shape"),
        ({"values": [[], []]}, "DATA_SHAPE", "wrong shape"),
        ({"values": [[0.0] * 5] * 2}, "DATA_SHAPE", "wrong shape"),
        ({"values": [["271828"], [1.0]]}, "DATA_DTYPE", "no number"),
        ({"values": [[True], [1.0]]}, "DATA_DTYPE", "no number"),
        ({"values": [[[271828]], [1.0]]}, "DATA_DTYPE", "no number"),
        ({"values": [[10**400], [1.0]]}, "DATA_RANGE", "out of range"),
        ({"values": "271828"}, "DATA_REQUEST", "values"),
        ({"rate_hz": "50"}, "DATA_REQUEST", "rate_hz"),
        ({"rat_hz": 50}, "DATA_REQUEST", "rat_hz"),
    ],
)
def test_what_does_not_fit_is_refused_without_any_reading(change: dict[str, object], code: str, words: str) -> None:
    with pytest.raises(SignalError) as refused:
        parse_series(SCHEMA, {**GOOD, **change})

    assert refused.value.code == code
    assert words in str(refused.value)
    assert "271828" not in f"{refused.value} {refused.value.got}"


@pytest.mark.parametrize("value", [None, [1.0], "271828", 3])
def test_no_object_is_no_series(value: object) -> None:
    with pytest.raises(SignalError, match="object of values") as refused:
        parse_series(SCHEMA, value)

    assert "271828" not in str(refused.value)


def test_units_are_left_out_where_the_schema_knows_none() -> None:
    bare = SCHEMA.model_copy(update={"units": ()})

    assert parse_series(bare, {**GOOD, "units": []}).shape == (2, 3)
    with pytest.raises(SignalError, match="other units"):
        parse_series(bare, GOOD)


def test_the_example_is_a_valid_series() -> None:
    codec, example = SensorCodec(SCHEMA), series_example(SCHEMA, {"mean": [0.5, -1.0], "std": [1.0, 1.0]})

    stored = codec.decode([codec.encode(parse_series(SCHEMA, example))])

    assert stored.values.tolist() == [[[0.5] * SCHEMA.max_steps, [-1.0] * SCHEMA.max_steps]]
    assert stored.mask.all()
