"""Near copies across splits are found with noise of a part of the signal; what merely looks alike is none."""

from collections.abc import Mapping

import numpy as np
import pytest
import torch

from modalities.spec import Signal
from pipeline.errors import LeakError
from pipeline.evaluate.near_copies import NEAR, difference, near_copy_leaks
from pipeline.types import Batch

SPLIT = np.repeat(["train", "validation", "test"], [40, 10, 10])
KEYS = np.array([f"k{i}" for i in range(60)])


def series(x: np.ndarray, present: np.ndarray | None = None, mask: np.ndarray | None = None) -> Signal:
    seen = np.ones(len(x), bool) if present is None else present
    observed = np.broadcast_to(seen[:, None, None], x.shape) if mask is None else mask
    return Signal(torch.from_numpy(x.astype(np.float32)), torch.from_numpy(observed.copy()), torch.from_numpy(seen))


def leaks(signals: Mapping[str, Signal]) -> list[LeakError]:
    """Of features that are the signals themselves, as the closest hand-made features would be."""

    def read(idx: np.ndarray) -> Batch:
        return Batch(torch.from_numpy(idx), {n: s.each(lambda t: t[idx]) for n, s in signals.items()}, {})

    features = np.concatenate([s.values.flatten(1).numpy() for s in signals.values()], axis=1)
    return near_copy_leaks(SPLIT, features, read, keys=KEYS)


def walks(seed: int, channels: int = 2) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(60, channels, 50)).cumsum(axis=2)


@pytest.mark.parametrize("noise", [0.0, 1e-3, 0.05])
@pytest.mark.parametrize(("original", "copy"), [(3, 55), (3, 45), (44, 59)])
def test_a_copy_with_noise_is_found_between_any_two_splits(noise: float, original: int, copy: int) -> None:
    x = walks(0)
    x[copy] = x[original] + noise * x[original].std(axis=1, keepdims=True) * np.random.default_rng(1).normal(
        size=(2, 50)
    )

    (found,) = leaks({"imu": series(x)})

    assert (found.code, found.field, found.exit_code) == ("LEAK", "content", 65)
    assert found.got == [f"k{copy} ({SPLIT[copy]}) ~ k{original} ({SPLIT[original]})"]
    assert found.message.startswith("1 samples")


@pytest.mark.parametrize("seed", range(20))
def test_signals_that_differ_and_copies_within_a_split_are_none(seed: int) -> None:
    x = walks(seed)
    x[5] = x[4]
    x[52] = x[51] + 1e-4

    assert leaks({"imu": series(x)}) == []


def test_constant_signals_are_no_evidence() -> None:
    x = np.ones((60, 2, 50)) * (1 + 1e-6 * np.arange(60)[:, None, None])

    assert leaks({"imu": series(x)}) == []


def test_every_stream_has_to_agree_and_be_there_in_both() -> None:
    x, y, present = walks(0), walks(1), np.ones(60, bool)
    x[55] = x[3]
    assert leaks({"imu": series(x), "skeleton": series(y)}) == []
    present[55] = False
    assert leaks({"imu": series(x), "skeleton": series(y * present[:, None, None], present)}) == []
    present[3] = False

    assert len(leaks({"imu": series(x), "skeleton": series(y * present[:, None, None], present)})) == 1


def test_the_difference_is_in_deviations_of_each_channel_over_what_both_observed() -> None:
    x = walks(0)[:2] * [[1.0], [1000.0]]
    noise = np.random.default_rng(1).normal(size=x.shape) * x.std(axis=2, keepdims=True)
    mask = np.ones(x.shape, bool)
    mask[0, :, 30:] = False
    y = x + 0.2 * noise
    y[0, :, 30:] = 0.0

    found = difference(series(x), series(y, mask=mask))

    expected = [
        np.sqrt((((x - y) / x[i, :, :n].std(axis=1)[:, None]) ** 2)[i, :, :n].mean()) for i, n in ((0, 30), (1, 50))
    ]
    np.testing.assert_allclose(found, expected, rtol=1e-4)
    mask[0, :, 10:] = False
    assert np.isinf(difference(series(x), series(y, mask=mask))[0])
    assert (found > NEAR).all()


def test_pictures_are_compared_by_their_pixels() -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 256, (60, 3, 8, 8)).astype(np.uint8)
    pixels[50] = np.clip(pixels[7].astype(int) + rng.integers(-2, 3, (3, 8, 8)), 0, 255)
    photo = Signal(torch.from_numpy(pixels), None, torch.ones(60, dtype=torch.bool))

    (found,) = leaks({"photo": photo})

    assert "k50 (test) ~ k7 (train)" in str(found)
