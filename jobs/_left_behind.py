"""Ends what a private Ray leaves behind where its driver was killed.

Ray's agents notice at once, but first tell a control store that is gone as well, for 60 s that nothing shortens. Run as
a script: process ids on the first line of stdin, whose end tells that the driver is gone.
"""

import contextlib
import subprocess
import sys
from collections.abc import Iterator

import psutil

GRACE_S = 10.0
"""What Ray's processes have to end by themselves."""


@contextlib.contextmanager
def nothing_left_behind() -> Iterator[None]:
    """A process of its own outlives this one, however it ends, and then ends what its Ray had started by now."""
    daemons = [child for child in psutil.Process().children() if child.name() == "raylet"]
    family = [below for daemon in daemons for below in daemon.children(recursive=True)]
    command = [sys.executable, __file__]
    with subprocess.Popen(command, stdin=subprocess.PIPE, text=True, start_new_session=True) as watcher:
        print(*(process.pid for process in family), file=watcher.stdin, flush=True)
        yield


def _end(family: list[psutil.Process]) -> None:
    _, alive = psutil.wait_procs(family, timeout=GRACE_S)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()  # refuses a process id that belongs to another process by now


def _watch() -> None:
    family: list[psutil.Process] = []
    for number in sys.stdin.readline().split():
        with contextlib.suppress(psutil.NoSuchProcess):
            family.append(psutil.Process(int(number)))
    sys.stdin.read()
    _end(family)


if __name__ == "__main__":
    _watch()
