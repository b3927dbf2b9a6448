"""Statistics of what is stored: those of the manifest must be the training split's, and other splits may drift."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from modalities.spec import Statistics
from pipeline.errors import DataError

DRIFT_LIMIT = 1.0
"""Shift of a channel's mean, in standard deviations of the training split, from which a split is worth a warning."""
_RTOL = 1e-4
_FLOOR = 1e-3  # codecs store at least this (or less) as the std of a constant channel


@dataclass(frozen=True)
class Moments:
    """Count, sum and sum of squares per channel, each float64 (C,), of deviations from `centre` (C,)."""

    centre: np.ndarray
    count: np.ndarray
    total: np.ndarray
    squares: np.ndarray

    def __add__(self, other: "Moments") -> "Moments":
        added = (self.count + other.count, self.total + other.total, self.squares + other.squares)
        return Moments(self.centre, *added)

    def mean(self) -> np.ndarray:
        """Mean per channel, NaN where nothing was observed."""
        return self.centre + self.total / np.where(self.count > 0, self.count, np.nan)

    def std(self) -> np.ndarray:
        """Standard deviation per channel."""
        count = np.where(self.count > 0, self.count, np.nan)
        return np.sqrt(np.maximum(self.squares / count - (self.total / count) ** 2, 0.0))


@dataclass(frozen=True)
class Drift:
    """How far the mean of one channel in one split, or one shard, lies from training, in training deviations."""

    stream: str
    where: str
    channel: int
    shift: float


def wrong_statistics(stored: Mapping[str, Statistics], training: Mapping[str, Moments]) -> list[DataError]:
    """One error per stream whose statistics in the manifest are not those of the training split."""
    problems = []
    for stream, found in training.items():
        expected = {"mean": found.mean(), "std": found.std()}
        for name, values in expected.items():
            if name in stored[stream] and not _agree(name, np.asarray(stored[stream][name]), values, expected["std"]):
                problems.append(
                    DataError(
                        f"the manifest's {name} of {stream} is not that of the training split",
                        code="DATA_STATISTICS",
                        field=stream,
                        expected=[float(f"{value:.6g}") for value in values],
                        got=stored[stream][name],
                        fix="ingest again: statistics belong to the training split only",
                    )
                )
    return problems


def drifts(training: Moments, other: Moments, *, stream: str, where: str) -> list[Drift]:
    """Shift of every channel that both have observed."""
    std = np.maximum(training.std(), np.finfo(np.float32).tiny)
    shift = (other.mean() - training.mean()) / std
    return [Drift(stream, where, c, float(shift[c])) for c in np.flatnonzero(np.isfinite(shift)).tolist()]


def _agree(name: str, stored: np.ndarray, found: np.ndarray, std: np.ndarray) -> bool:
    if stored.shape != found.shape:
        return False
    if name == "std":
        return bool(
            (np.isclose(stored, found, rtol=_RTOL) | ((found <= stored) & (stored <= _FLOOR)) | np.isnan(found)).all()
        )
    return bool((np.isnan(found) | (np.abs(stored - found) <= _RTOL * (std + np.abs(found)) + 1e-9)).all())
