"""The sensor stream: physics, nuisances that can be switched off one by one, and order as the only cue."""

import numpy as np
import pytest

from jobs.planted.config import PlantedConfig
from jobs.planted.factors import draw_events
from jobs.planted.gestures import PAIRS
from jobs.planted.signals import CHANNELS, GRAVITY, UNITS, gesture_steps, render_imu

PLAIN = PlantedConfig(
    num_subjects=6,
    nan_gap_rate=0.0,
    device_gain=0.0,
    device_offset=0.0,
    device_rotation=0.0,
    subject_style=0.0,
    session_drift=0.0,
    sensor_noise=0.0,
    effort=1.0,
)
NUISANCES = ("device_gain", "device_offset", "device_rotation", "subject_style", "session_drift", "sensor_noise")
EVENTS = draw_events(PLAIN)


def changed(**settings: float) -> PlantedConfig:
    return PLAIN.model_copy(update=settings)


def test_same_event_same_readings():
    np.testing.assert_array_equal(render_imu(EVENTS[0], PlantedConfig()), render_imu(EVENTS[0], PlantedConfig()))


def test_length_follows_the_event_and_the_rate():
    for event in EVENTS[:10]:
        assert render_imu(event, PLAIN).shape == (round(event.length_s * 25.0), len(CHANNELS))
    assert len(UNITS) == len(CHANNELS)


def test_still_unit_reads_gravity():
    readings = np.concatenate([render_imu(event, PLAIN) for event in EVENTS[:50]])

    np.testing.assert_allclose(np.median(readings, axis=0), [0, 0, GRAVITY, 0, 0, 0], atol=0.02)


@pytest.mark.parametrize("name", NUISANCES)
def test_each_nuisance_acts_alone_and_is_off_at_zero(name):
    plain, moved = render_imu(EVENTS[0], PLAIN), render_imu(EVENTS[0], changed(**{name: 1.0}))

    assert np.abs(moved - plain).max() > 0.05


@pytest.mark.parametrize("name", ["device_gain", "device_offset", "device_rotation"])
def test_device_factors_are_shared_by_the_device_and_differ_between_devices(name):
    def effect(event):
        return (render_imu(event, changed(**{name: 1.0})) - render_imu(event, PLAIN)).mean(axis=0)

    def distance(a, b):
        return np.linalg.norm((effect(a) - effect(b))[:3])

    first = EVENTS[0]
    same = [e for e in EVENTS if e.device == first.device][-1]
    other = next(e for e in EVENTS if e.device != first.device)

    assert distance(first, same) < 0.5 * distance(first, other)


def test_gain_scales_each_channel():
    still = changed(device_gain=1.0)
    ratio = render_imu(EVENTS[0], still)[:, 2] / render_imu(EVENTS[0], PLAIN)[:, 2]

    assert np.ptp(ratio) == pytest.approx(0.0, abs=1e-9)
    assert abs(ratio[0] - 1.0) > 1e-3


def test_effort_scales_the_motion_and_can_be_switched_off():
    def spread(effort, config):
        rows = [render_imu(e, config)[:, [2, 5]].std(axis=0) for e in EVENTS if e.effort == effort]
        return np.mean(rows, axis=0)

    off = changed(effort=0.0)

    np.testing.assert_allclose(spread(2, PLAIN) / spread(0, PLAIN), 2.0, rtol=0.1)
    np.testing.assert_allclose(spread(2, off) / spread(0, off), 1.0, rtol=0.1)


def test_gaps_have_the_asked_rate_and_leave_observed_values_alone():
    gapped = [render_imu(event, changed(nan_gap_rate=0.5)) for event in EVENTS[:300]]
    whole = [render_imu(event, PLAIN) for event in EVENTS[:300]]
    rate = np.mean([np.isnan(readings).any() for readings in gapped])

    assert rate == pytest.approx(0.5, abs=0.1)
    assert not any(np.isnan(readings).all(axis=1).all() for readings in gapped)
    for readings, full in zip(gapped, whole, strict=True):
        np.testing.assert_array_equal(readings[np.isfinite(readings)], full[np.isfinite(readings)])


def test_first_gesture_comes_before_the_second_after_the_rest():
    """Oracle: the order of bursts after the longest pause names the axis of the first gesture."""
    hits = []
    for event in EVENTS[:200]:
        readings = render_imu(event, PLAIN)
        lifting, turning = np.abs(readings[:, 2] - GRAVITY) > 0.3, np.abs(readings[:, 5]) > 0.12
        active = np.flatnonzero(lifting | turning)
        pauses = np.diff(active)
        begin = active[int(pauses.argmax()) + 1] if pauses.max() > 12 else active[0]
        hits.append(bool(lifting[begin : begin + 4].any()) == (PAIRS[event.activity][0] % 2 == 0))

    assert np.mean(hits) > 0.95


def test_steps_of_a_gesture_are_where_the_unit_moves():
    moving, resting = [], []
    for event in EVENTS[:40]:
        steps, readings = gesture_steps(event, PLAIN), render_imu(event, PLAIN)
        strength = np.abs(readings - [0, 0, GRAVITY, 0, 0, 0]).sum(axis=1)
        moving.append(strength[steps > 0].mean())
        resting.append(strength[steps == 0].max())

        assert len(steps) == len(readings)
        assert set(steps.tolist()) == {0, *(gesture + 1 for gesture in event.pair)}
    assert max(resting) < 1e-9 < min(moving)
