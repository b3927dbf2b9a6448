"""A peer whose number stands still is lost; one that beats, or has left in good order, is not."""

import threading
from pathlib import Path

from pipeline.train.heartbeat import Heartbeat


def beating(folder: Path, rank: int, ended: threading.Event, *, after_s: float = 0.3) -> Heartbeat:
    path = folder / "hangs" / f"rank-{rank}.txt"
    return Heartbeat(folder / "beats", rank=rank, world=2, after_s=after_s, path=path, end=ended.set)


def test_a_silent_peer_is_named_and_ends_this_worker(tmp_path: Path) -> None:
    ended = threading.Event()
    with beating(tmp_path, 0, ended):
        assert ended.wait(20)

    text = (tmp_path / "hangs" / "rank-0.txt").read_text()
    assert "no sign of life from rank 1 for 0.3 s" in text
    assert "Thread" in text


def test_peers_that_beat_keep_each_other(tmp_path: Path) -> None:
    ended = threading.Event()
    with beating(tmp_path, 0, ended, after_s=2.0), beating(tmp_path, 1, ended, after_s=2.0):
        assert not ended.wait(3.0)

    assert not (tmp_path / "hangs").exists()


def test_a_peer_that_has_ended_is_not_lost(tmp_path: Path) -> None:
    ended = threading.Event()
    with beating(tmp_path, 0, ended, after_s=0.5):
        with beating(tmp_path, 1, threading.Event(), after_s=0.5):
            pass
        assert not ended.wait(1.5)


def test_only_standing_still_counts_whatever_the_number_is(tmp_path: Path) -> None:
    heart = beating(tmp_path, 0, threading.Event(), after_s=10)
    (tmp_path / "beats").mkdir()
    file = tmp_path / "beats" / "rank-1"

    assert heart.lost(0.0) == []
    assert heart.lost(9.0) == []
    file.write_bytes(b"12345678")
    assert heart.lost(11.0) == []  # it began late
    assert heart.lost(20.0) == []
    assert heart.lost(21.5) == [1]
    file.write_bytes(b"00000000")
    assert heart.lost(22.0) == []
