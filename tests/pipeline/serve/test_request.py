"""Requests of toy streams: what is refused, and that refusals name sample and stream and quote nothing."""

import numpy as np
import pytest
import torch

from modalities.spec import SignalError
from pipeline.errors import DataError
from pipeline.serve.request import ServedStream, read_samples
from tests.toy_modality import CHANNELS, ToyCodec

SECRET = 271828.0


def parse(value: object) -> np.ndarray:
    if not isinstance(value, list):
        raise SignalError("DATA_DTYPE", "a toy is a list", got={"step": 0, "value": value})
    return np.array(value)


STREAMS = {"left": ServedStream("left", parse, ToyCodec()), "right": ServedStream("right", parse, ToyCodec())}
SERIES = [[1.0, 2.0]] * CHANNELS


def test_rows_are_samples_and_absent_streams_are_masked() -> None:
    signals = read_samples([{"left": SERIES}, {"left": None, "right": SERIES}], STREAMS, limit=2)

    assert signals["left"].present.tolist() == [True, False]
    assert signals["right"].present.tolist() == [False, True]
    torch.testing.assert_close(signals["left"].values[0, :, :2], torch.tensor(SERIES))


@pytest.mark.parametrize(
    ("samples", "code", "words"),
    [
        ({}, "DATA_REQUEST", "list of samples"),
        ([], "DATA_REQUEST", "list of samples"),
        ([{"left": SERIES}] * 3, "DATA_TOO_LARGE", "<= 2 samples"),
        ([{"left": SERIES}, [SECRET]], "DATA_REQUEST", "sample 1"),
        ([{"left": SERIES}, {"lefd": SERIES}], "DATA_FIELD", "did you mean 'left'?"),
        ([{"left": SERIES}, {}], "DATA_MISSING_MODALITY", "sample 1"),
        ([{"left": None, "right": None}], "DATA_MISSING_MODALITY", "sample 0"),
        ([{"left": SERIES}, {"right": SECRET}], "DATA_DTYPE", "right"),
        ([{"left": [[SECRET]]}], "DATA_CHANNELS", "left"),
    ],
)
def test_a_bad_request_is_refused_by_name_and_without_its_data(samples: object, code: str, words: str) -> None:
    with pytest.raises(DataError) as refused:
        read_samples(samples, STREAMS, limit=2)

    assert refused.value.code == code
    assert words in str(refused.value)
    assert "271828" not in str(refused.value)
