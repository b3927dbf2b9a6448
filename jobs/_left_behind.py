"""Ends what a private Ray leaves behind, above all where its driver was killed: processes, sockets, files.

Its agents notice at once, but first tell a control store that is gone as well, for 60 s that nothing shortens; a worker
that was just starting may never notice. Ray removes no folder of a session: of ours, the latest keep their logs.
Run as a script: the session's folder, then a stdin whose end tells that the driver is gone.
"""

import contextlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil

GRACE_S = 10.0
"""What Ray's processes have to end by themselves."""
KEPT_SESSIONS = 3
"""Their logs say what went wrong."""
ENDED_NAME = "kindred-ended"


@contextlib.contextmanager
def nothing_left_behind(session: Path) -> Iterator[None]:
    """A process of its own outlives this one, however it ends, and then ends who still writes to Ray's session."""
    command = [sys.executable, __file__, str(session)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, start_new_session=True):
        yield


@contextlib.contextmanager
def nothing_of_a_failed_start(sessions: Path) -> Iterator[None]:
    """Where the block raises, what it has started ends: Ray forgets the daemons of a start that fails, and each further
    try would be slower for them. sessions: the folder of Ray's sessions."""
    own = psutil.Process()
    before = set(own.children(recursive=True))
    try:
        yield
    except BaseException:
        _kill([process for process in own.children(recursive=True) if process not in before])
        for session in sessions.resolve().glob(f"session_*_{own.pid}"):
            if session.is_dir() and not (session / ENDED_NAME).exists():  # an old one may have gone meanwhile
                _kill(_writers(session, own))  # whose parent is gone already
                _remove_files(session)
        raise


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(processes, timeout=GRACE_S)


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
    _kill(alive)


def _remove_files(session: Path) -> None:
    """Sockets and all else of this session but its logs; sessions of ours that ended before the latest ones."""
    for folder in [path for path in session.iterdir() if path.is_dir() and path.name != "logs"]:
        shutil.rmtree(folder, ignore_errors=True)
    (session / ENDED_NAME).touch()
    ended = sorted(path for path in session.parent.iterdir() if not path.is_symlink() and (path / ENDED_NAME).exists())
    for old in ended[:-KEPT_SESSIONS]:
        shutil.rmtree(old, ignore_errors=True)


def _watch(session: Path) -> None:
    driver = psutil.Process(os.getppid())
    sys.stdin.read()
    _end_writers(session, driver)
    _remove_files(session)


if __name__ == "__main__":
    _watch(Path(sys.argv[1]).resolve())
