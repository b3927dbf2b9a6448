"""Step labels as bytes: read back as they were, and nothing else is read."""

import io

import numpy as np
import pytest

from modalities.spec import SignalError
from pipeline.data.step_codec import StepCodec

CODEC = StepCodec(num_classes=3, max_steps=8)
NUMBERS = np.array([0, 2, -1, 1], np.int16)


def saved(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array)
    return buffer.getvalue()


def test_round_trip_with_absent_samples_and_for_numpy() -> None:
    payload = CODEC.encode(NUMBERS)

    signal = CODEC.decode([payload, None])

    assert signal.values.tolist() == [[0, 2, -1, 1, -1, -1, -1, -1], [-1] * 8]
    assert signal.mask is not None
    assert signal.mask.sum(dim=1).tolist() == [4, 0]
    assert signal.present.tolist() == [True, False]
    assert np.load(io.BytesIO(payload)).tolist() == NUMBERS.tolist()
    assert payload == saved(NUMBERS)


@pytest.mark.parametrize(
    ("payload", "code"),
    [
        (b"", "DATA_NPY"),
        (CODEC.encode(NUMBERS)[:60], "DATA_NPY"),
        (CODEC.encode(NUMBERS)[:-1], "DATA_TRUNCATED"),
        (CODEC.encode(NUMBERS) + b"\0\0", "DATA_TRUNCATED"),
        (saved(NUMBERS.astype(np.int64)), "DATA_DTYPE"),
        (saved(NUMBERS.astype(">i2")), "DATA_DTYPE"),
        (saved(NUMBERS[None]), "DATA_NPY"),
        (saved(np.zeros(0, np.int16)), "DATA_SHAPE"),
        (saved(np.zeros(9, np.int16)), "DATA_SHAPE"),
        (saved(np.array([3], np.int16)), "DATA_LABEL"),
        (saved(np.array([-2], np.int16)), "DATA_LABEL"),
        (CODEC.encode(NUMBERS).replace(b"(4,)", b"(9999999,)"), "DATA_NPY"),
    ],
)
def test_anything_else_is_a_typed_error_with_its_row(payload: bytes, code: str) -> None:
    with pytest.raises(SignalError) as caught:
        CODEC.decode([None, payload])

    assert (caught.value.code, caught.value.row) == (code, 1)


@pytest.mark.parametrize("value", [np.zeros(3), b"abc", np.array([5], np.int16), np.zeros(9, np.int16)])
def test_only_class_numbers_are_written(value: np.ndarray | bytes) -> None:
    with pytest.raises(SignalError):
        CODEC.encode(value)
