"""Moments by split against plain loops in float64."""

import numpy as np
import pytest
import torch

from modalities.spec import Signal
from pipeline.data.verify_moments import moments

SPLITS = np.array(["train", "test", "train", "train", "validation"])
PRESENT = torch.tensor([True, True, False, True, True])
RNG = np.random.default_rng(0)


def picture(height: int, *, in_memory: str) -> Signal:
    pixels = torch.from_numpy(RNG.integers(0, 256, (5, height, 7, 3)).astype(np.uint8))
    pixels[~PRESENT] = 0
    channels_first = pixels.permute(0, 3, 1, 2)
    values = {
        "colours last": channels_first,
        "colours first": channels_first.contiguous(),
        "floats": Signal(channels_first, None, PRESENT).scaled().values,
    }
    return Signal(values[in_memory], None, PRESENT)


def series(*, gaps: bool) -> Signal:
    values = torch.from_numpy(RNG.normal(5, 2, (5, 3, 40)).astype(np.float32))
    mask = torch.from_numpy(RNG.random((5, 3, 40)) < (0.7 if gaps else 2)) & PRESENT[:, None, None]
    return Signal(torch.where(mask, values, 0.0), mask, PRESENT)


def loops(signal: Signal, split: str) -> list[tuple[int, float, float]]:
    """Count, mean and standard deviation of each channel in one split."""
    values = signal.values.double() / (255 if signal.values.dtype == torch.uint8 else 1)
    found = []
    for channel in range(3):
        own: list[float] = []
        for row in range(len(SPLITS)):
            if SPLITS[row] == split and PRESENT[row]:
                seen = values[row, channel] if signal.mask is None else values[row, channel][signal.mask[row, channel]]
                own += seen.flatten().tolist()
        found.append((len(own), float(np.mean(own)), float(np.std(own))))
    return found


@pytest.mark.parametrize(
    "signal",
    [
        *(picture(9, in_memory=kind) for kind in ("colours last", "colours first", "floats")),
        picture(300, in_memory="colours last"),
        series(gaps=True),
        series(gaps=False),
    ],
)
@pytest.mark.parametrize("centre", [0.0, 0.4])
def test_counts_means_and_deviations_are_those_of_loops(signal: Signal, centre: float) -> None:
    found = moments(signal, {"mean": [centre, centre / 2, 0.5], "std": [1.0, 1.0, 1.0]}, SPLITS)

    assert set(found) == {"train", "test", "validation"}
    for split, part in found.items():
        count, mean, std = (np.array(column) for column in zip(*loops(signal, split), strict=True))
        np.testing.assert_array_equal(part.count, count)
        np.testing.assert_allclose(part.mean(), mean, rtol=1e-6)
        np.testing.assert_allclose(part.std(), std, rtol=1e-5)


def test_splits_without_a_present_sample_and_streams_without_means_have_none() -> None:
    signal = picture(9, in_memory="colours last")
    only_absent = np.array(["test", "test", "train", "test", "test"])

    assert set(moments(signal, {"mean": [0.1, 0.2, 0.3]}, only_absent)) == {"test"}
    assert moments(signal, {}, SPLITS) == {}
    assert moments(signal, {"mean": [0.5]}, SPLITS) == {}
