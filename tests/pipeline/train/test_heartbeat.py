"""A peer whose number stands still is lost; one that beats, or has left in good order, is not."""

import threading
from pathlib import Path

import pytest

from pipeline.errors import Fenced, Preempted
from pipeline.train.heartbeat import LEFT, Heartbeat


def beating(folder: Path, rank: int, ended: threading.Event, *, after_s: float = 0.3) -> Heartbeat:
    path = folder / "hangs" / f"rank-{rank}.txt"
    return Heartbeat(folder / "beats", rank=rank, world=2, after_s=after_s, path=path, end=ended.set)


@pytest.mark.fault("P10")
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


class Watched:
    """Rank 0 of two that looks at the other's file every second of a clock of its own."""

    def __init__(self, folder: Path) -> None:
        self.heart = beating(folder, 0, threading.Event(), after_s=10)
        self.file = folder / "beats" / "rank-1"
        self.file.parent.mkdir()
        self.now = 0

    def after(self, seconds: int) -> list[int]:
        for _ in range(seconds):
            self.now += 1
            found = self.heart.lost(float(self.now))
        return found


def test_only_standing_still_counts_whatever_the_number_is(tmp_path: Path) -> None:
    watched = Watched(tmp_path)

    assert watched.after(9) == []
    watched.file.write_bytes(b"12345678")
    assert watched.after(10) == []  # it began late
    assert watched.after(2) == [1]
    watched.file.write_bytes(b"00000000")
    assert watched.after(1) == []


def test_an_earlier_attempts_good_end_does_not_hide_a_peer_that_never_starts(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.file.write_bytes(LEFT)

    assert watched.after(12) == [1]
    watched.file.write_bytes(b"12345678")
    assert watched.after(1) == []
    watched.file.write_bytes(LEFT)
    assert watched.after(30) == []


def test_who_stood_still_itself_blames_nobody(tmp_path: Path) -> None:
    watched = Watched(tmp_path)
    watched.file.write_bytes(b"12345678")
    watched.after(2)
    watched.now += 1000

    assert watched.after(9) == []
    assert watched.after(3) == [1]


@pytest.mark.parametrize(("error", "lost"), [(Preempted, False), (Fenced, True), (ValueError, True)])
def test_only_an_end_that_all_agree_on_is_a_good_one(tmp_path: Path, error: type[Exception], lost: bool) -> None:
    ended = threading.Event()
    raised = error("gone", code="X") if issubclass(error, Preempted) else error("gone")
    with beating(tmp_path, 0, ended, after_s=0.4):
        with pytest.raises(error), beating(tmp_path, 1, threading.Event(), after_s=0.4):
            raise raised
        assert ended.wait(20 if lost else 1.2) == lost


@pytest.mark.filterwarnings("ignore::pytest.PytestUnhandledThreadExceptionWarning")
def test_a_folder_that_cannot_be_written_does_not_keep_a_hang_alive(tmp_path: Path) -> None:
    ended = threading.Event()
    (tmp_path / "hangs").write_text("a file where the folder should be")
    with beating(tmp_path, 0, ended):
        assert ended.wait(20)
