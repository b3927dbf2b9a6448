"""Signs of life between workers: one that is stopped, wherever it is, holds its peers up for ever.

Every worker adds to a number in a file that all can read, and ends itself when a peer's number stands still: its stacks
are written, and the group is restarted. A worker that waits for data, or computes for long, still beats.
"""

import contextlib
import faulthandler
import math
import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import numpy as np

from pipeline.errors import Fenced, Preempted

LEFT = np.int64(-1).tobytes()
"""In place of the number: this worker has ended in good order."""
BEATS = 9
"""Beats in the time after which a silent peer is lost."""


def _end() -> None:
    os._exit(1)


class Heartbeat:
    """Beats while entered. folder: shared by all ranks; path: where stacks are added before `end` is called."""

    def __init__(
        self,
        folder: Path,
        *,
        rank: int,
        world: int,
        after_s: float,
        path: Path,
        end: Callable[[], None] = _end,
    ) -> None:
        self.folder, self.rank, self.after_s, self.path, self.end = folder, rank, after_s, path, end
        self.peers = [peer for peer in range(world) if peer != rank]
        self.seen: dict[int, tuple[bytes, float]] = {}
        self.moved: set[int] = set()
        self.looked = -math.inf
        self.agreed = False
        self._left = threading.Event()
        self._thread = threading.Thread(target=self._run, name="heartbeat", daemon=True)

    def __enter__(self) -> "Heartbeat":
        self.folder.mkdir(parents=True, exist_ok=True)
        self.lost(time.monotonic())  # what earlier attempts left
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.agreed = kind is None or (issubclass(kind, Preempted) and not issubclass(kind, Fenced))
        self._left.set()
        self._thread.join()

    def _run(self) -> None:
        own = os.open(self._file(self.rank), os.O_CREAT | os.O_WRONLY, 0o644)
        try:
            beats = time.time_ns()  # another number than an earlier attempt's
            while not self._left.wait(self.after_s / BEATS):
                beats += 1
                os.pwrite(own, np.int64(beats).tobytes(), 0)
                os.fsync(own)
                if lost := self.lost(time.monotonic()):
                    self._give_up(lost)
                    return
            if self.agreed:  # an error that only this worker has must not leave the others waiting for it
                os.pwrite(own, LEFT, 0)
                os.fsync(own)
        finally:
            os.close(own)

    def lost(self, now: float) -> list[int]:
        """Ranks whose number has not changed for `after_s` seconds. now: of a monotonic clock."""
        slept, self.looked = now - self.looked > self.after_s / 2, now  # this process stood still: perhaps all did
        for peer in self.peers:
            value = b""
            with contextlib.suppress(OSError):  # no news: storage may refuse for a moment, and must not for longer
                value = self._file(peer).read_bytes()
            if peer in self.seen and self.seen[peer][0] != value:
                self.moved.add(peer)
            if slept or peer not in self.seen or self.seen[peer][0] != value:
                self.seen[peer] = value, now
        late = [peer for peer in self.peers if now - self.seen[peer][1] > self.after_s]
        return [peer for peer in late if self.seen[peer][0] != LEFT or peer not in self.moved]

    def _give_up(self, lost: list[int]) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with self.path.open("a") as file:
                file.write(f"no sign of life from rank {', '.join(map(str, lost))} for {self.after_s:g} s\n")
                file.flush()
                faulthandler.dump_traceback(file)
        finally:
            self.end()

    def _file(self, rank: int) -> Path:
        return self.folder / f"rank-{rank}"
