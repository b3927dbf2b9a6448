"""MiniRocket features against the paper's definition as a loop, and what the paper leaves open: gaps and lengths."""

from itertools import combinations

import numpy as np
import pytest
import torch

from modalities.spec import Signal
from pipeline.errors import DataError
from pipeline.evaluate.mini_rocket import MiniRocket, MiniRocketConfig, dilations_of

CONFIG = MiniRocketConfig(num_features=84 * 7 + 5)


def signal(rows: int = 12, channels: int = 3, steps: int = 40, seed: int = 0) -> Signal:
    values = torch.randn(rows, channels, steps, generator=torch.Generator().manual_seed(seed)).cumsum(dim=2)
    return Signal(values, torch.ones(values.shape, dtype=torch.bool), torch.ones(rows, dtype=torch.bool))


def shortened(whole: Signal, length: int) -> Signal:
    """The same with nothing observed from `length` on."""
    assert whole.mask is not None
    inside = whole.mask & (torch.arange(whole.values.shape[2]) < length)
    return Signal(whole.values * inside, inside, whole.present)


def shares_by_loop(rocket: MiniRocket, series: np.ndarray) -> list[float]:
    """One series (C, T) without gaps: convolve step by step, count what is above each bias (section 3 of the paper)."""
    x = (series - rocket.mean[:, None]) / rocket.scale[:, None]
    steps = x.shape[1]
    found = []
    for number, each in enumerate(rocket.dilated):
        for kernel, triple in enumerate(combinations(range(9), 3)):
            output = []
            for t in range(steps):
                value = 0.0
                for channel in np.flatnonzero(each.weights[0, :, kernel]):
                    for tap in range(9):
                        at = t + (tap - 4) * each.dilation
                        value += (2.0 if tap in triple else -1.0) * (x[channel, at] if 0 <= at < steps else 0.0)
                output.append(value)
            if (number + kernel) % 2:
                output = output[4 * each.dilation : steps - 4 * each.dilation]
            found += [sum(value > bias for value in output) / len(output) for bias in each.biases[:, kernel]]
    return found


def test_features_are_those_of_the_definition() -> None:
    whole = signal()
    rocket = MiniRocket.fit(whole, CONFIG, seed=0)

    found = rocket(whole)

    assert found.shape == (12, 84 * 7)
    assert [each.dilation for each in rocket.dilated] == [1, 2, 3, 4]
    for row in (0, 7):
        np.testing.assert_allclose(found[row], shares_by_loop(rocket, whole.values[row].double().numpy()), atol=0.03)
        assert np.mean(found[row] != np.float32(shares_by_loop(rocket, whole.values[row].double().numpy()))) < 0.01


def test_kernels_sum_to_zero_over_the_channels_they_read() -> None:
    rocket = MiniRocket.fit(signal(channels=5), CONFIG, seed=0)

    for each in rocket.dilated:
        assert each.weights.sum(axis=0) == pytest.approx(0.0)
        read = (each.weights != 0).all(axis=0).sum(axis=0)
        assert (read >= 1).all()
        assert len(np.unique(read)) > 1


def test_the_seed_alone_decides() -> None:
    whole = signal()

    one, same, other = (MiniRocket.fit(whole, CONFIG, seed=seed)(whole) for seed in (3, 3, 4))

    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


def test_units_do_not_matter() -> None:
    whole = signal()
    scale, shift = torch.tensor([1.0, 1024.0, 0.5])[:, None], torch.tensor([0.0, 64.0, -2.0])[:, None]
    other = Signal(whole.values * scale + shift, whole.mask, whole.present)

    one, two = (MiniRocket.fit(each, CONFIG, seed=0)(each) for each in (whole, other))

    np.testing.assert_allclose(one, two, atol=0.03)
    assert (one != two).mean() < 0.01


def test_a_sample_counts_over_its_own_length() -> None:
    whole = signal()
    rocket = MiniRocket.fit(whole, CONFIG, seed=0)
    cut = Signal(whole.values[:, :, :25], None, whole.present)

    np.testing.assert_allclose(rocket(shortened(whole, 25)), rocket(cut), atol=1e-6)


def test_a_gap_is_interpolated() -> None:
    whole = signal()
    straight = whole.values.clone()
    straight[:, :, 10:15] = torch.lerp(straight[:, :, 9:10], straight[:, :, 15:16], torch.arange(1, 6) / 6)
    mask = torch.ones(whole.values.shape, dtype=torch.bool)
    mask[:, :, 10:15] = False
    rocket = MiniRocket.fit(whole, CONFIG, seed=0)

    found = rocket(Signal(whole.values * mask, mask, whole.present))

    np.testing.assert_allclose(found, rocket(Signal(straight, None, whole.present)), atol=0.03)


def test_absent_samples_are_zero_and_teach_nothing() -> None:
    whole = signal()
    present = torch.tensor([True] * 9 + [False] * 3)
    some = Signal(whole.values * present[:, None, None], None, present)

    rocket, without = (MiniRocket.fit(each, CONFIG, seed=0) for each in (some, whole.select(torch.arange(9))))

    found = rocket(some)
    assert not found[9:].any()
    np.testing.assert_array_equal(found[:9], without(whole.select(torch.arange(9))))
    with pytest.raises(DataError, match="no training sample has the stream"):
        MiniRocket.fit(some.select(torch.arange(9, 12)), CONFIG, seed=0)


@pytest.mark.parametrize("steps", [1, 5, 8, 9])
def test_series_shorter_than_a_kernel_have_finite_features(steps: int) -> None:
    short = signal(steps=steps)

    found = MiniRocket.fit(short, CONFIG, seed=0)(short)

    assert found.shape == (12, 84 * 7)
    assert ((found >= 0) & (found <= 1)).all()


@pytest.mark.parametrize(("length", "num_features"), [(128, 9996), (128, 84), (9, 2016), (5000, 84 * 40)])
def test_every_kernel_has_as_many_biases_as_asked_for(length: int, num_features: int) -> None:
    dilations, counts = dilations_of(length, num_features)

    assert counts.sum() == num_features // 84
    assert (counts > 0).all()
    assert (np.diff(dilations) > 0).all()
    assert dilations[0] == 1
    assert 8 * dilations[-1] < length
