import numpy as np
import pytest
import torch

from modalities.spec import Signal
from pipeline.evaluate.sensor_statistics import SensorStatistics


def signal(batch: int = 5, channels: int = 6, steps: int = 64, seed: int = 0) -> Signal:
    generator = torch.Generator().manual_seed(seed)
    values = torch.randn(batch, channels, steps, generator=generator)
    return Signal(values, torch.ones(values.shape, dtype=torch.bool), torch.ones(batch, dtype=torch.bool))


def padded(short: Signal, steps: int) -> Signal:
    extra = torch.zeros(*short.values.shape[:2], steps)
    assert short.mask is not None
    return Signal(torch.cat([short.values, extra], 2), torch.cat([short.mask, extra.bool()], 2), short.present)


def test_a_sample_has_the_same_features_in_any_batch():
    whole = signal()
    rows = [SensorStatistics()(whole.select(torch.tensor([i])))[0] for i in range(5)]

    np.testing.assert_allclose(SensorStatistics()(whole), np.stack(rows), rtol=1e-5, atol=1e-6)


def test_padding_changes_nothing_but_the_frequency_grid():
    short = signal()
    plain, longer = SensorStatistics(bins=1)(short), SensorStatistics(bins=1)(padded(short, 64))

    spectra = np.abs(plain - longer).max(axis=0) > 1e-4
    assert spectra.sum() <= 8  # one band of 6 channels and 2 magnitudes


def test_magnitudes_do_not_change_under_rotation():
    original = signal(channels=3)
    rotation, _ = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(1)))
    turned = Signal(torch.einsum("ij,bjt->bit", rotation, original.values), original.mask, original.present)
    config = SensorStatistics(segments=(), max_correlated=0)
    width = SensorStatistics(segments=(), max_correlated=0, triples=False)(original).shape[1] // 3

    before, after = (config(s) for s in (original, turned))
    assert before.shape[1] == 4 * width
    same = np.isclose(before, after, rtol=1e-3, atol=1e-3).all(axis=0)
    assert width <= same.sum() < 2 * width


def test_centring_removes_a_common_movement():
    original = signal(channels=9)
    moved = Signal(original.values + 5.0, original.mask, original.present)
    config = SensorStatistics(centre=1, segments=(), max_correlated=0, triples=True)

    same = np.isclose(config(original), config(moved), rtol=1e-4, atol=1e-4).all(axis=0)
    assert not same.all()  # the reference itself stays where it is
    assert same.mean() > 0.75


def test_an_absent_sample_is_all_zero_and_finite():
    here = signal()
    there = Signal(here.values, here.mask, torch.tensor([True, False, True, True, True]))
    features = SensorStatistics(frames=4)(there)

    assert not features[1].any()
    assert np.isfinite(features).all()
    np.testing.assert_array_equal(features[0], SensorStatistics(frames=4)(here)[0])


@pytest.mark.parametrize("observed", [0, 1, 2, 3])
def test_hardly_observed_samples_give_finite_features(observed):
    short = signal(batch=2)
    mask = torch.zeros(short.values.shape, dtype=torch.bool)
    mask[:, :, :observed] = True

    assert np.isfinite(SensorStatistics(frames=16)(Signal(short.values * mask, mask, short.present))).all()
