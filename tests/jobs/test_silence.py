"""Workers of which the driver hears nothing are given up, from their start to their end."""

import time
from pathlib import Path

import numpy as np
import pytest

from jobs._silence import START_S, Silence
from pipeline.errors import ClusterLost


class Clock:
    """Ticks as fast as a driver looks."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        self.now += 1.0
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "monotonic", made)
    return made


def _looks_until_lost(silence: Silence) -> int:
    for looks in range(1000):
        try:
            silence()
        except ClusterLost as error:
            assert error.code == "RAY_SILENT"  # noqa: PT017 - when it raises is what is asked
            return looks
    raise AssertionError("it was never lost")


@pytest.mark.parametrize("hang_after_s", [10, 2 * START_S])
def test_a_group_that_never_starts_is_lost_and_a_later_attempt_has_its_own_time(
    tmp_path: Path, clock: Clock, hang_after_s: float
) -> None:
    silence = Silence(tmp_path / "heartbeats", hang_after_s)

    assert [_looks_until_lost(silence) for _ in range(2)] == [max(START_S, hang_after_s)] * 2


def test_every_beat_of_any_worker_counts_and_what_earlier_ones_left_does_not(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / "rank-0").write_bytes(b"earlier")
    silence = Silence(tmp_path, hang_after_s=10)
    for beat in range(10):
        (tmp_path / f"rank-{beat % 2}").write_bytes(np.int64(beat).tobytes())
        for _ in range(101):
            silence()

    assert _looks_until_lost(silence) == START_S - 100


def test_a_driver_that_stood_still_listens_again_first(tmp_path: Path, clock: Clock) -> None:
    silence = Silence(tmp_path, hang_after_s=10)
    silence()
    clock.now += 1000

    assert _looks_until_lost(silence) == START_S + 1
