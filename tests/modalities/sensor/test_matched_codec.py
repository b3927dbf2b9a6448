"""Series of another data set as an encoder takes them: channels by name, absent ones unobserved, others left out."""

import numpy as np
import pytest
import torch

from modalities.sensor.codec import SensorCodec, SensorSchema
from modalities.sensor.matched_codec import MatchedCodec
from modalities.sensor.resnet import ResNet
from modalities.spec import SignalError

TRAINED = SensorSchema(channels=("x", "y", "z", "w"), units=("g", "g", "g", "V"), rate_hz=50, max_steps=20)
STORED = SensorSchema(channels=("z", "other", "x"), units=("g", "K", "g"), rate_hz=50, max_steps=24, limit=1e6)
SERIES = np.random.default_rng(0).normal(size=(3, 22)).astype(np.float32)


def test_matched_series_are_series_with_absent_channels() -> None:
    gap = SERIES.copy()
    gap[0, 5] = np.nan
    codec, own = MatchedCodec(STORED, TRAINED), SensorCodec(TRAINED.model_copy(update={"max_steps": 24}))
    unobserved = np.full((4, 22), np.nan, np.float32)
    unobserved[[2, 0]] = gap[[0, 2]]

    found = codec.decode([SensorCodec(STORED).encode(gap), None])
    expected = own.decode([own.encode(unobserved), None])

    assert (codec.absent, codec.left_out) == (("y", "w"), ("other",))
    assert codec.trained == own.schema.model_copy(update={"limit": 1e6})
    for one, other in ((found.values, expected.values), (found.mask, expected.mask), (found.present, expected.present)):
        assert one is not None
        assert other is not None
        assert one.equal(other)
    statistics = {"mean": [0.5, -1.0, 2.0, 3.0], "std": [1.0, 2.0, 0.5, 1.0]}
    encoder = ResNet(widths=(8,), strides=(2,), features=12, groups=4).build(codec.trained, statistics).eval()
    with torch.no_grad():
        assert encoder(found).pooled.equal(encoder(expected).pooled)


@pytest.mark.parametrize(
    ("change", "code", "expected", "got"),
    [
        ({"channels": ["a", "b", "c"]}, "DATA_CHANNELS", ["x", "y", "z", "w"], ["a", "b", "c"]),
        ({"units": ["g", "K", "m/s^2"]}, "DATA_UNIT", ["g", "g"], ["m/s^2", "g"]),
        ({"units": []}, "DATA_UNIT", ["g", "g"], 0),
        ({"rate_hz": 100}, "DATA_RATE", 50.0, 100.0),
        ({"relative_to": 0}, "DATA_CHANNELS", None, ["z", "other", "x"]),
    ],
)
def test_what_cannot_be_reconciled_is_refused(
    change: dict[str, object], code: str, expected: object, got: object
) -> None:
    stored = SensorSchema.model_validate({**STORED.model_dump(), **change})

    with pytest.raises(SignalError) as refused:
        MatchedCodec(stored, TRAINED)

    assert (refused.value.code, refused.value.expected, refused.value.got) == (code, expected, got)
    assert refused.value.fix
