"""Finds a step that never ends: the stacks of all threads go to a file, and the process ends, so that it is restarted.

Every worker watches itself. One that is stopped altogether holds its peers up in a collective; they end, and with them
the group. Waiting for data is not watched: storage has time limits of its own.
"""

import contextlib
import faulthandler
import statistics
import time
from collections import deque
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

FACTOR = 10
FIRST_FACTOR = 6
"""A first step also loads kernels and meets workers that start later."""
_REMEMBERED = 99


class Watchdog:
    """Allows a step `floor_s` seconds, or ten times the median of the latest steps if that is more.

    path: where stacks are added; None watches nothing.
    """

    def __init__(self, path: Path | None = None, *, floor_s: float = 45.0) -> None:
        self.floor_s = floor_s
        self.file: BinaryIO | None = None
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            self.file = path.open("ab")
        self.seconds: deque[float] = deque(maxlen=_REMEMBERED)

    @property
    def limit_s(self) -> float:
        """Seconds that the next step may take."""
        if not self.seconds:
            return self.floor_s * FIRST_FACTOR
        return max(self.floor_s, FACTOR * statistics.median(self.seconds))

    @contextlib.contextmanager
    def step(self) -> Iterator[None]:
        """Watch one step."""
        if self.file is None:
            yield
            return
        started = time.monotonic()
        faulthandler.dump_traceback_later(self.limit_s, exit=True, file=self.file)
        try:
            yield
        finally:
            faulthandler.cancel_dump_traceback_later()
        self.seconds.append(time.monotonic() - started)
