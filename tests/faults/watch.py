"""Something tried under the eyes of an audit hook: what it raised, ran, opened, allocated and how long it took."""

import dataclasses
import io
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from jobs.__main__ import main as kindred
from pipeline.errors import KindredError, Problems

WATCHED = frozenset(
    {"pickle.find_class", "os.system", "subprocess.Popen", "os.exec", "os.posix_spawn", "os.fork", "ctypes.dlopen"}
    | {"socket.connect", "socket.getaddrinfo", "urllib.Request", "shutil.unpack_archive"}
)


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What became of an attempt. code, exit_code: of its error, "" and 0 where it passed; events: what was seen."""

    code: str
    exit_code: int
    message: str
    events: list[str]
    grown_mib: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Attempt:
    """prepare: writes the attack into a folder; act: what a user would do with it."""

    prepare: Callable[[Path], object]
    act: Callable[[Path], object]


def run_verb(*arguments: str, folder: Path) -> None:
    """A command line in `folder`, its messages kept."""
    os.chdir(folder)
    sys.stderr = stream = io.StringIO()
    try:
        code = kindred(arguments)
    finally:
        sys.stderr = sys.__stderr__
    if code:
        raise Exit(code, stream.getvalue())


class Exit(Exception):
    """The exit code of a verb and what it said."""


def attempted(attempt: Attempt, folder: Path, events: list[str]) -> Outcome:
    """Try it once; `events` is what `watch` writes to."""
    code, exit_code, message = "", 0, ""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, started = psutil.Process().memory_info().rss, time.perf_counter()
    events.clear()
    try:
        attempt.act(folder)
    except KindredError as error:
        first = error.problems[0] if isinstance(error, Problems) else error
        code, exit_code, message = first.code, error.exit_code, str(error)
    except Exit as error:
        exit_code, message = error.args
    seen = sorted(set(events))
    peak = next(int(s.split()[1]) for s in Path("/proc/self/status").read_text().splitlines() if s.startswith("VmHWM"))
    return Outcome(code, exit_code, message, seen, peak / 1024 - before / 2**20, time.perf_counter() - started)


def watch(events: list[str], root: Path) -> None:
    """Write to `events` whatever runs, connects, or writes outside `root`, for the rest of the process."""

    def hook(event: str, arguments: tuple[object, ...]) -> None:
        if event in WATCHED:
            events.append(event)
        elif event == "open" and isinstance(arguments[0], str) and isinstance(arguments[2], int):
            written = arguments[2] & (os.O_WRONLY | os.O_RDWR | os.O_CREAT)
            if written and not os.path.abspath(arguments[0]).startswith((str(root), "/dev/", "/proc/")):
                events.append(f"open {arguments[0]}")

    sys.addaudithook(hook)
