"""Each statistic against numpy or scipy on the observed values of one channel at a time."""

from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from pipeline.evaluate import masked_series as series

LEVELS = (0.05, 0.5, 0.9)


@pytest.fixture
def ragged() -> tuple[np.ndarray, np.ndarray]:
    """Different lengths, gaps, a constant channel and one never observed."""
    rng = np.random.default_rng(0)
    x = rng.normal(3.0, 2.0, (4, 3, 40)) + np.sin(np.arange(40))
    m = rng.random(x.shape) > 0.2
    m[0, :, 25:] = m[1, :, 11:] = False
    x[2, 1] = 7.0
    m[3, 2] = False
    return np.where(m, x, 0.0), m


def per_channel(x: np.ndarray, m: np.ndarray, statistic: Callable[[np.ndarray], object]) -> np.ndarray:
    """statistic(observed values) of every channel that has some, else 0."""
    width = np.asarray(statistic(np.arange(3.0))).shape
    found = np.zeros((*x.shape[:2], *width))
    for b in range(x.shape[0]):
        for c in range(x.shape[1]):
            if m[b, c].any():
                found[b, c] = statistic(x[b, c][m[b, c]])
    return found


def test_moments(ragged):
    x, m = ragged

    def reference(v: np.ndarray) -> list[float]:
        shape = [0.0, 0.0] if v.std() < 1e-9 else [stats.skew(v), stats.kurtosis(v, fisher=False)]
        return [v.mean(), v.std(), v.min(), v.max(), *shape]

    np.testing.assert_allclose(series.moments(x, m), per_channel(x, m, reference), atol=1e-9)


def test_quantiles(ragged):
    x, m = ragged
    expected = per_channel(x, m, lambda v: np.quantile(v, LEVELS))

    np.testing.assert_allclose(series.quantiles(x, m, LEVELS), expected, atol=1e-12)


def test_differences_need_two_adjacent_observations():
    x = np.array([[[1.0, 4.0, 0.0, 9.0, 7.0]]])
    m = np.array([[[True, True, False, True, True]]])

    assert series.mean_absolute_difference(x, m).item() == pytest.approx((3 + 2) / 2)
    assert series.log_deviations(x, m)[0, 0, 1] == pytest.approx(np.log((9 + 4) / 2 + 1e-6))


@pytest.mark.parametrize("segments", [4, 6])
def test_segments_part_each_samples_own_length(ragged, segments):
    x, m = ragged
    actual = series.segment_statistics(x, m, segments)

    for b in range(len(x)):
        length = int(np.flatnonzero(m[b].any(axis=0)).max()) + 1
        for c in range(x.shape[1]):
            for s in range(segments):
                part = slice(length * s // segments, length * (s + 1) // segments)
                values = x[b, c, part][m[b, c, part]]
                expected = (values.mean(), values.std()) if len(values) else (0.0, 0.0)
                assert (actual[b, c, s], actual[b, c, segments + s]) == pytest.approx(expected, abs=1e-7)


def test_gaps_are_interpolated_and_ends_held(ragged):
    x, m = ragged
    steps = np.arange(x.shape[2])
    whole = series.filled(x, m)

    for b in range(len(x)):
        for c in range(x.shape[1]):
            expected = np.interp(steps, steps[m[b, c]], x[b, c][m[b, c]]) if m[b, c].any() else np.zeros(len(steps))
            np.testing.assert_allclose(whole[b, c], expected, atol=1e-12)


def test_resampling_spans_the_observed_length():
    x = np.zeros((1, 1, 20))
    x[0, 0, :10] = np.arange(10.0)
    m = np.zeros(x.shape, dtype=bool)
    m[0, 0, :10] = True

    np.testing.assert_allclose(series.resampled(x, m, 4)[0, 0], [0, 3, 6, 9])


def test_spectrum_peaks_in_the_band_of_a_sine():
    t = np.arange(128)
    x = np.stack([np.sin(2 * np.pi * k * t / 128) for k in (5, 33)])[None]

    bands = series.log_spectrum(x, np.ones(x.shape, dtype=bool), 16)

    assert bands.shape == (1, 2, 16)
    assert bands[0].argmax(axis=1).tolist() == [(5 - 1) // 4, (33 - 1) // 4]


def test_spectrum_equals_a_windowed_transform():
    x = np.random.default_rng(1).normal(size=(1, 1, 64))
    power = np.abs(np.fft.rfft((x[0, 0] - x.mean()) * np.hanning(64))[1:]) ** 2 / 64
    expected = np.log(power.reshape(8, 4).mean(axis=1) + 1e-6)

    np.testing.assert_allclose(series.log_spectrum(x, np.ones(x.shape, dtype=bool), 8)[0, 0], expected)


@pytest.mark.parametrize("statistic", [
    lambda x, m: series.log_spectrum(x, m, 8),
    lambda x, m: series.autocorrelations(x, m, (1, 3)),
    lambda x, m: series.segment_statistics(x, m, 4),
    lambda x, m: series.resampled(x, m, 5),
    lambda x, m: series.correlations(x, m),
])  # fmt: skip
def test_nothing_hidden_by_the_mask_is_read(ragged, statistic):
    x, m = ragged
    disturbed = np.where(m, x, 1e6)

    np.testing.assert_allclose(statistic(disturbed, m), statistic(x, m), rtol=1e-9, atol=1e-9)


def test_autocorrelation():
    x = np.random.default_rng(2).normal(size=(1, 1, 50))
    d = x[0, 0] - x.mean()
    expected = [(d[:-k] * d[k:]).sum() / (50 - k) / d.var() for k in (1, 7)]

    np.testing.assert_allclose(series.autocorrelations(x, np.ones(x.shape, dtype=bool), (1, 7))[0, 0], expected)


def test_autocorrelation_of_a_sample_shorter_than_the_lag_is_0():
    x, m = np.random.default_rng(3).normal(size=(1, 1, 50)), np.zeros((1, 1, 50), dtype=bool)
    m[0, 0, :4] = True

    assert series.autocorrelations(x * m, m, (1, 8, 64)).tolist()[0][0][1:] == [0.0, 0.0]


def test_correlations_over_common_steps(ragged):
    x, m = ragged
    actual = series.correlations(x, m)

    for b in range(len(x)):
        for k, (i, j) in enumerate(zip(*np.triu_indices(3, k=1), strict=True)):
            both = m[b, i] & m[b, j]
            left, right = x[b, i][both], x[b, j][both]
            steady = not both.any() or left.std() < 1e-6 or right.std() < 1e-6
            expected = 0.0 if steady else np.corrcoef(left, right)[0, 1]
            assert actual[b, k] == pytest.approx(expected, abs=1e-6)
