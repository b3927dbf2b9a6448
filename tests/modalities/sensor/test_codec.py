"""The stored form of a series: exact round trip, and a typed refusal of everything else."""

import contextlib
import io
from collections.abc import Callable

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from modalities.sensor.codec import SensorCodec, SensorSchema, relative_to_triple
from modalities.spec import SignalError
from tests.modalities.sensor.sensor_batches import CHANNELS, SCHEMA, series_of

CODEC = SensorCodec(SCHEMA)


def npy(array: np.ndarray, *, pickled: bool = False) -> bytes:
    file = io.BytesIO()
    np.lib.format.write_array(file, array, version=(1, 0), allow_pickle=pickled)
    return file.getvalue()


def refusal(payload: bytes, codec: SensorCodec = CODEC) -> SignalError:
    with pytest.raises(SignalError) as caught:
        codec.decode([None, payload])
    assert caught.value.row == 1
    return caught.value


def stored(payload: bytes, *, steps: int) -> np.ndarray:
    signal = CODEC.decode([payload])
    assert signal.mask is not None
    assert not signal.mask[0, :, steps:].any()
    return np.where(signal.mask[0].numpy(), signal.values[0].numpy(), np.float32(np.nan))[:, :steps]


READINGS = st.one_of(st.floats(-(2**39), 2**39, width=32), st.just(np.nan))  # a little less than the default limit
SERIES = arrays(np.float32, st.tuples(st.just(6), st.integers(1, 48)), elements=READINGS)


@given(SERIES)
def test_round_trip_is_exact_and_numpy_reads_it(series: np.ndarray) -> None:
    payload = CODEC.encode(series)

    np.testing.assert_array_equal(stored(payload, steps=series.shape[1]), series)
    np.testing.assert_array_equal(np.load(io.BytesIO(payload), allow_pickle=False), series)


def test_decodes_what_numpy_writes() -> None:
    series = series_of(17, gaps=True)

    np.testing.assert_array_equal(stored(npy(series), steps=17), series)


def test_every_truncation_and_extension_is_refused() -> None:
    payload = CODEC.encode(series_of(5))
    codes = {refusal(payload[:end]).code for end in range(len(payload))}

    assert codes <= {"DATA_NPY", "DATA_TRUNCATED"}
    assert refusal(payload + b"\0").code == "DATA_TRUNCATED"


@given(st.data())
def test_a_damaged_header_never_raises_anything_else(data: st.DataObject) -> None:
    payload = bytearray(CODEC.encode(series_of(5)))
    position = data.draw(st.integers(0, 127))
    payload[position] = data.draw(st.integers(0, 255))
    with contextlib.suppress(SignalError):
        assert CODEC.decode([bytes(payload)]).values.shape == (1, 6, 48)


@pytest.mark.fault("D10", "D11")
@pytest.mark.parametrize(
    ("array", "code"),
    [
        (np.zeros((6, 9), np.float64), "DATA_DTYPE"),
        (np.zeros((6, 9), ">f4"), "DATA_DTYPE"),
        (np.zeros((6, 9), np.int32), "DATA_DTYPE"),
        (np.zeros((5, 9), np.float32), "DATA_CHANNELS"),
        (np.zeros((9, 6), np.float32), "DATA_SHAPE"),
        (np.zeros((6, 49), np.float32), "DATA_SHAPE"),
        (np.zeros(6, np.float32), "DATA_SHAPE"),
        (np.zeros((6, 9), np.float32, order="F"), "DATA_SHAPE"),
        (np.zeros((6, 0), np.float32), "DATA_EMPTY_SERIES"),
        (np.full((6, 9), np.inf, np.float32), "DATA_NONFINITE"),
        (np.full((6, 9), 1e30, np.float32), "DATA_RANGE"),
    ],
)
def test_wrong_arrays_have_their_own_code(array: np.ndarray, code: str) -> None:
    assert refusal(npy(array)).code == code


@pytest.mark.fault("S02")
def test_objects_are_never_unpickled() -> None:
    assert refusal(npy(np.array([{}], dtype=object), pickled=True)).code == "DATA_DTYPE"


@pytest.mark.fault("D28")
def test_a_header_of_terabytes_is_refused_before_allocation() -> None:
    schema = SensorSchema(channels=CHANNELS, rate_hz=1.0, max_steps=1_000_000)
    payload = CODEC.encode(series_of(5)).replace(b"(6, 5), }        ", b"(6, 1000000), }  ")

    assert refusal(payload, SensorCodec(schema)).code == "DATA_TRUNCATED"
    assert refusal(payload.replace(b"(6, 1000000)", b"(6, 9999999)")).code == "DATA_SHAPE"


@pytest.mark.fault("D13")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_refuse_names_the_first_value_that_is_not_finite(bad: float) -> None:
    codec = SensorCodec(SCHEMA.model_copy(update={"nonfinite": "refuse"}))
    series = series_of(9)
    series[4, 7] = bad
    error = refusal(npy(series), codec)

    assert error.code == "DATA_NONFINITE"
    assert error.got == {"channel": "gy", "step": 7, "value": str(np.float32(bad))}


NOT_NUMBERS = ["text", b"bytes", np.array([["a"]]), np.zeros((6, 9), complex), np.zeros((6, 9), bool)]


@pytest.mark.parametrize("value", NOT_NUMBERS)
def test_encode_refuses_what_is_not_real_numbers(value: np.ndarray | str | bytes) -> None:
    with pytest.raises(SignalError) as caught:
        CODEC.encode(value)
    assert caught.value.code == "DATA_DTYPE"


def test_encode_refuses_numbers_that_overflow_float32() -> None:
    with pytest.raises(SignalError) as caught:
        CODEC.encode(np.full((6, 9), 1e300))
    assert caught.value.code == "DATA_NONFINITE"


def test_decoding_pads_masks_and_marks_absence() -> None:
    signal = CODEC.decode([CODEC.encode(series_of(17, gaps=True)), None])

    assert signal.values.shape == (2, 6, 48)
    assert signal.mask is not None
    assert signal.mask[0].sum() == 6 * 17 - 3
    assert not signal.mask[1].any()
    assert signal.present.tolist() == [True, False]
    assert signal.values[~signal.mask].eq(0).all()
    np.testing.assert_array_equal(signal.values[0, 0, :17].numpy(), series_of(17)[0])


def test_statistics_equal_the_pooled_moments() -> None:
    many = [series_of(length, gaps=True) for length in (48, 31, 9)]
    joined = np.concatenate(many, axis=1).astype(np.float64)
    found = CODEC.statistics(CODEC.encode(series) for series in many)

    np.testing.assert_allclose(found["mean"], np.nanmean(joined, axis=1), rtol=1e-10)
    np.testing.assert_allclose(found["std"], np.nanstd(joined, axis=1), rtol=1e-10)


@pytest.mark.fault("D14")
def test_statistics_of_constant_and_unseen_channels_are_usable() -> None:
    series = np.zeros((6, 4), np.float32)
    series[1], series[2] = 7.0, np.nan
    found = CODEC.statistics([CODEC.encode(series)])

    assert found["mean"][:3] == [0.0, 7.0, 0.0]
    assert min(found["std"]) > 0


def test_relative_series_do_not_depend_on_where_the_body_stands() -> None:
    series = series_of(9).astype(np.float64)
    moved = series + np.array([5.0, -1.0, 2.0] * 2)[:, None]

    np.testing.assert_allclose(relative_to_triple(moved, 1), relative_to_triple(series, 1), atol=1e-12)
    np.testing.assert_allclose(relative_to_triple(series, 1)[:3], series[:3] - series[3:])


@pytest.mark.parametrize(
    "changes",
    [{"units": ("g",)}, {"channels": ("a", "a")}, {"relative_to": 2}, {"channels": ("a", "b"), "relative_to": 0}],
)
def test_schema_refuses_contradictions(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"units|channels|relative_to"):
        SensorSchema.model_validate(SCHEMA.model_dump() | changes)


def test_decoded_values_are_float32_and_their_own() -> None:
    payloads = [CODEC.encode(series_of(48)), CODEC.encode(series_of(48, seed=1))]
    signal, twin = CODEC.decode(payloads), CODEC.decode(payloads)
    signal.values.zero_()

    assert twin.values.dtype == torch.float32
    assert twin.mask is not None
    assert twin.mask.all()
    np.testing.assert_array_equal(twin.values[1].numpy(), series_of(48, seed=1))


def test_a_bad_value_is_reported_with_its_row() -> None:
    bad = series_of(9)
    bad[2, 3] = np.inf
    with pytest.raises(SignalError) as caught:
        CODEC.decode([None, CODEC.encode(series_of(48)), npy(bad), npy(bad)])

    assert (caught.value.code, caught.value.row) == ("DATA_NONFINITE", 2)


@pytest.mark.fault("S11")
def test_a_header_that_invites_backtracking_is_refused_at_once() -> None:
    text = b"{'descr': '<f4', 'fortran_order': False, 'shape': (" + b"1" * 60_000 + b"x), }\n"

    assert refusal(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text).code == "DATA_NPY"


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 5)), max_size=6),
    st.sampled_from([1, 17, 48]),
    st.booleans(),
    st.booleans(),
)
def test_equally_long_series_are_decoded_as_any_others(
    seeds: list[int | None], length: int, gaps: bool, other: bool
) -> None:
    """Beside a series of another length, which takes the way of one by one, each is what it is among its like."""
    payloads = [None if seed is None else CODEC.encode(series_of(length, seed=seed, gaps=gaps)) for seed in seeds]
    together = CODEC.decode(payloads)
    apart = CODEC.decode([*payloads, CODEC.encode(series_of(5 if other else 31))]).select(torch.arange(len(payloads)))

    assert together.mask is not None
    assert apart.mask is not None
    assert together.values.equal(apart.values)
    assert together.mask.equal(apart.mask)
    assert together.present.equal(apart.present)
    assert together.values.dtype == torch.float32
    assert (together.present.dtype, together.mask.dtype) == (torch.bool, torch.bool)


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (lambda payload: payload.replace(b"'<f4'", b"'<i4'"), "DATA_DTYPE"),
        (lambda payload: payload.replace(b"False", b"True "), "DATA_NPY"),
        (lambda payload: payload.replace(b"(6, 48)", b"(48, 6)"), "DATA_SHAPE"),
        (lambda payload: payload[:-4] + b"\0\0\x80\x7f", "DATA_NONFINITE"),
        (lambda payload: b"PK" + payload[2:], "DATA_NPY"),
    ],
)
@pytest.mark.parametrize("row", [0, 2])
def test_one_bad_series_among_equally_long_ones_is_named(change: Callable[[bytes], bytes], code: str, row: int) -> None:
    payloads: list[bytes | None] = [CODEC.encode(series_of(48, seed=seed)) for seed in range(4)]
    payloads[1] = None
    bad = payloads[row]
    assert bad is not None
    payloads[row] = change(bad)
    with pytest.raises(SignalError) as caught:
        CODEC.decode(payloads)

    assert (caught.value.code, caught.value.row) == (code, row)


def test_readings_at_the_limit_are_accepted_and_beyond_it_refused() -> None:
    codec = SensorCodec(SCHEMA.model_copy(update={"limit": 100.0}))
    series = np.clip(series_of(48), -100, 100)
    series[0, 0], series[1, 1] = 100.0, -100.0
    beyond = series.copy()
    beyond[1, 1] = np.nextafter(np.float32(-100), np.float32(-200))

    np.testing.assert_array_equal(codec.decode([npy(series)]).values[0].numpy(), series)
    assert refusal(npy(beyond), codec).code == "DATA_RANGE"
