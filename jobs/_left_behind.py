"""Ends what a private Ray leaves behind where its driver was killed.

Its agents notice at once, but first tell a control store that is gone as well, for 60 s that nothing shortens; a worker
that was just starting may never notice. Run as a script: the session's folder, then a stdin whose end tells that the
driver is gone.
"""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

GRACE_S = 10.0
"""What Ray's processes have to end by themselves."""


@contextlib.contextmanager
def nothing_left_behind(session: Path) -> Iterator[None]:
    """A process of its own outlives this one, however it ends, and then ends who still writes to Ray's session."""
    command = [sys.executable, __file__, str(session)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield


def _writers(session: Path, driver: psutil.Process) -> list[psutil.Process]:
    """Everything of Ray's logs there, under whatever title; who only reads a log stays, and a living driver with what
    it started itself."""
    found: list[psutil.Process] = []
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            writes = any(file.mode != "r" and session in Path(file.path).parents for file in process.open_files())
            if writes and driver not in (process, *process.parents()):
                found.append(process)
    return found


def _end_writers(session: Path, driver: psutil.Process) -> None:
    deadline = time.monotonic() + GRACE_S
    while (alive := _writers(session, driver)) and time.monotonic() < deadline:
        psutil.wait_procs(alive, timeout=deadline - time.monotonic())
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def _watch(session: Path) -> None:
    driver = psutil.Process(os.getppid())
    sys.stdin.read()
    _end_writers(session.resolve(), driver)


if __name__ == "__main__":
    _watch(Path(sys.argv[1]))
