"""Batches of series of different lengths with gaps, for the sensor tests."""

import numpy as np
import torch

from modalities.draws import Draws
from modalities.sensor.codec import SensorCodec, SensorSchema
from modalities.spec import Signal

CHANNELS = ("ax", "ay", "az", "gx", "gy", "gz")
SCHEMA = SensorSchema(channels=CHANNELS, rate_hz=50.0, max_steps=48)
LENGTHS = (48, 31, 17, 5, 1)
STATISTICS = {"mean": [0.1, -0.2, 0.9, 0.0, 0.0, 1.0], "std": [0.5, 1.0, 2.0, 1.0, 1.0, 3.0]}


def series_of(length: int, *, seed: int = 0, gaps: bool = False) -> np.ndarray:
    """Smooth float32 (6, length), with NaN in one channel where gaps are asked for."""
    rng = np.random.default_rng([seed, length])
    steps = np.arange(length)
    waves = [np.sin(steps / rng.uniform(2, 9) + rng.uniform(0, 6)) * rng.uniform(0.5, 2) for _ in CHANNELS]
    series = np.stack(waves).astype(np.float32) + rng.normal(size=(6, 1)).astype(np.float32)
    if gaps and length > 8:
        series[2, 3:6] = np.nan
    return series


def batch(*, schema: SensorSchema = SCHEMA, gaps: bool = False) -> Signal:
    """One sample of each of LENGTHS."""
    codec = SensorCodec(schema)
    return codec.decode([codec.encode(series_of(length, gaps=gaps)) for length in LENGTHS])


def draws_for(num: int, *, view: int = 0) -> Draws:
    return Draws.keyed(torch.arange(num) + 100, seed=3, purpose="view", epoch=0, view=view)
