"""The sensor stream: repeated gesture pairs seen by an imperfect inertial unit.

A repetition is first gesture, short pause, second gesture, rest. Lifting is an acceleration doublet along the vertical
(+- for lift, -+ for lower), twisting an angular-rate doublet about it. A gesture and its opposite have equal energy,
spectrum and odd moments, and the recording starts at a random moment of the repetition.
"""

from dataclasses import dataclass

import numpy as np
from scipy.spatial.transform import Rotation

from jobs.planted.config import PlantedConfig
from jobs.planted.factors import Event, generator
from jobs.planted.gestures import LIFT, LOWER, TWIST

CHANNELS = ("acc_x", "acc_y", "acc_z", "gyr_x", "gyr_y", "gyr_z")
UNITS = ("m/s^2", "m/s^2", "m/s^2", "rad/s", "rad/s", "rad/s")
GRAVITY = 9.81
_SCALE = np.array([1.0, 1.0, 1.0, 0.4, 0.4, 0.4])  # rad/s per m/s^2: puts both halves on a like footing


@dataclass(frozen=True)
class Style:
    """How a subject moves: duration factor of a gesture, amplitude in m/s^2, tilt as a rotation vector in rad."""

    tempo: float
    amplitude: float
    tilt: np.ndarray


def subject_style(subject: int, config: PlantedConfig) -> Style:
    draws = generator(config, "subject", subject).normal(size=5) * config.subject_style
    return Style(float(np.exp(0.12 * draws[0])), float(3.0 * np.exp(0.2 * draws[1])), 0.15 * draws[2:])


def render_imu(event: Event, config: PlantedConfig) -> np.ndarray:
    """Readings (T, 6) in the units of `UNITS`; NaN where the unit dropped out."""
    motion, _ = _motion(event, config)
    motion[:, 2] += GRAVITY
    seen = _rotate(motion, _mounting(event, config))
    return _gap(_unit_errors(seen, event, config), event, config)


def gesture_steps(event: Event, config: PlantedConfig) -> np.ndarray:
    """Code of every step (T,) int64: 0 between gestures, else the gesture's number plus 1."""
    return _motion(event, config)[1]


def _motion(event: Event, config: PlantedConfig) -> tuple[np.ndarray, np.ndarray]:
    """Movement without gravity (T, 6) in the subject's frame, and the gesture of every step (T,)."""
    steps = round(event.length_s * config.rate_hz)
    t = np.arange(steps) / config.rate_hz
    rng = generator(config, "motion", event.key)
    style = subject_style(event.subject, config)
    amplitude = style.amplitude * (0.7, 1.0, 1.4)[event.effort] ** config.effort
    motion, codes = np.zeros((steps, 6)), np.zeros(steps, np.int64)
    begin = -rng.uniform(0.0, 2.2)
    while begin < event.length_s:
        for gesture in event.pair:
            length = style.tempo * rng.uniform(0.5, 0.7)
            motion += _gesture(gesture, (t - begin) / length, rng) * amplitude
            codes[(t > begin) & (t < begin + length)] = gesture + 1
            begin += length + rng.uniform(0.05, 0.15)
        begin += style.tempo * rng.uniform(0.7, 1.1)
    return _rotate(motion, Rotation.from_rotvec(style.tilt)) * _SCALE, codes


def _gesture(gesture: int, phase: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """One gesture (T, 6) over its phase in [0, 1], with sideways wobble of random sign."""
    inside = (phase > 0) & (phase < 1)
    window = np.where(inside, np.sin(np.pi * np.clip(phase, 0, 1)) ** 2, 0.0)
    doublet = np.sin(2 * np.pi * phase) * window * 1.5
    sign = 1.0 if gesture in (LIFT, TWIST) else -1.0
    axis = 2 if gesture in (LIFT, LOWER) else 5
    wave = np.zeros((len(phase), 6))
    wave[:, axis] = sign * doublet * rng.uniform(0.8, 1.2)
    side = [i for i in range(6) if i != axis and i // 3 == axis // 3]
    wave[:, side] = doublet[:, None] * rng.normal(0.0, 0.35, 2)
    return wave


def _rotate(motion: np.ndarray, rotation: Rotation) -> np.ndarray:
    return np.concatenate([rotation.apply(motion[:, :3]), rotation.apply(motion[:, 3:])], axis=1)


def _mounting(event: Event, config: PlantedConfig) -> Rotation:
    """How the unit sits on the body: its housing's angle, then the strap of the day."""
    housing = generator(config, "device-rotation", event.device).normal(size=3) * 0.25 * config.device_rotation
    strap = generator(config, "strap", event.session).normal(size=3) * 0.1 * config.session_drift
    return Rotation.from_rotvec(strap) * Rotation.from_rotvec(housing)


def _unit_errors(seen: np.ndarray, event: Event, config: PlantedConfig) -> np.ndarray:
    """Gain and offset of the device, drift of the session, noise of the event."""
    steps = len(seen)
    gain = np.exp(0.2 * config.device_gain * generator(config, "device-gain", event.device).normal(size=6))
    offset = 0.6 * config.device_offset * generator(config, "device-offset", event.device).normal(size=6) * _SCALE
    drift = generator(config, "drift", event.session).normal(size=6) * 0.3 * config.session_drift * _SCALE
    rng = generator(config, "sensor-noise", event.key)
    hum = rng.uniform(4.0, 9.0), rng.uniform(0.0, 2 * np.pi, 6), rng.uniform(0.0, 0.5, 6)
    t = np.arange(steps)[:, None] / config.rate_hz
    noise = rng.normal(0.0, 0.35, (steps, 6)) + hum[2] * np.sin(2 * np.pi * hum[0] * t + hum[1])
    return seen * gain + offset + drift * np.linspace(-1, 1, steps)[:, None] + config.sensor_noise * noise * _SCALE


def _gap(readings: np.ndarray, event: Event, config: PlantedConfig) -> np.ndarray:
    rng = generator(config, "gap", event.key)
    chance, length_s, where, part = rng.random(), rng.uniform(0.1, 0.5), rng.random(), rng.integers(3)
    if chance >= config.nan_gap_rate:
        return readings
    length = max(1, round(length_s * config.rate_hz))
    begin = int(where * (len(readings) - length))
    readings[begin : begin + length, (slice(0, 6), slice(0, 3), slice(3, 6))[part]] = np.nan
    return readings
