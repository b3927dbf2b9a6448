"""Resampling keeps what a band-limited signal says, and keeps gaps in their place."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.resample import rate_ratio, resample

rates = st.sampled_from([10.0, 12.5, 25.0, 30.0, 50.0, 100.0])


@pytest.mark.parametrize(("from_hz", "to_hz"), [(100.0, 50.0), (50.0, 100.0), (50.0, 30.0), (49.7, 50.0)])
def test_a_slow_sine_is_the_same_sine(from_hz: float, to_hz: float) -> None:
    source = np.sin(2 * np.pi * 1.5 * np.arange(int(8 * from_hz)) / from_hz)[None]

    result = resample(source, from_hz=from_hz, to_hz=to_hz)

    expected = np.sin(2 * np.pi * 1.5 * np.arange(result.shape[1]) / to_hz)
    inner = slice(int(to_hz), -int(to_hz))
    assert np.abs(result[0, inner] - expected[inner]).max() < 0.01


def test_what_the_new_rate_cannot_hold_is_removed_not_folded() -> None:
    fast = np.sin(2 * np.pi * 22 * np.arange(400) / 50)[None]  # would alias to 2 Hz at 20 Hz

    result = resample(fast, from_hz=50, to_hz=20)

    assert np.abs(result[:, 20:-20]).max() < 0.05
    assert np.abs(fast[:, ::5]).max() > 0.9


@given(rates, rates, st.integers(1, 300), st.floats(-100, 100))
def test_length_and_constants_are_kept(from_hz: float, to_hz: float, steps: int, level: float) -> None:
    result = resample(np.full((2, steps), level), from_hz=from_hz, to_hz=to_hz)

    assert result.shape == (2, int(np.ceil(round(steps * to_hz / from_hz, 9))))
    np.testing.assert_allclose(result, level, rtol=1e-3, atol=1e-9)


@given(rates, rates, st.sets(st.integers(0, 59), max_size=20))
def test_gaps_stay_where_they_are(from_hz: float, to_hz: float, gaps: set[int]) -> None:
    source = np.random.default_rng(0).normal(size=(2, 60))
    source[0, sorted(gaps)] = np.nan

    result = resample(source, from_hz=from_hz, to_hz=to_hz)

    for step in range(result.shape[1]):
        moment = round(step * from_hz / to_hz, 6)
        around = {min(int(np.floor(moment)), 59), min(int(np.ceil(moment)), 59)}
        assert np.isnan(result[0, step]) == bool(around & gaps)
    assert np.isfinite(result[1]).all()


def test_a_channel_without_any_reading_stays_empty() -> None:
    assert np.isnan(resample(np.full((1, 40), np.nan), from_hz=50, to_hz=30)).all()


@given(rates, rates, st.integers(1, 60))
def test_nearest_takes_steps_as_they_are(from_hz: float, to_hz: float, steps: int) -> None:
    source = np.arange(steps, dtype=np.float64)[None] ** 2
    source[0, steps // 2] = np.nan

    result = resample(source, from_hz=from_hz, to_hz=to_hz, nearest=True)

    assert result.shape == resample(source, from_hz=from_hz, to_hz=to_hz).shape
    for step, value in enumerate(result[0].tolist()):
        moment = step * from_hz / to_hz
        distance = np.abs(np.arange(steps) - moment)
        best = int(np.flatnonzero(distance <= distance.min() + 1e-9)[0])
        assert value == source[0, best] or (np.isnan(value) and np.isnan(source[0, best]))


def test_rates_without_a_small_ratio_are_refused() -> None:
    assert rate_ratio(49.7, 50.0) * 497 == 500
    with pytest.raises(ValueError, match="ratio"):
        rate_ratio(50_000.0, 1.0)
    with pytest.raises(ValueError, match="ratio"):
        rate_ratio(1.0, 50_000.0)
