"""SIGTERM and SIGINT ask for a graceful end: a stop file that every worker looks for. A second one ends at once."""

import contextlib
import signal
import threading
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from pipeline.errors import Preempted

STOP_FILE = "STOP"
EXIT_INTERRUPTED = 130


class Interrupted(Preempted):
    """Preempted by SIGINT."""

    exit_code = EXIT_INTERRUPTED


@contextlib.contextmanager
def stopped_by_sigterm() -> Iterator[None]:
    """While active, SIGTERM ends what runs in the main thread by Preempted, unless `graceful_stop` takes it."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def end(number: int, frame: FrameType | None) -> None:
        raise Preempted("stopped by SIGTERM", code="PREEMPTED", fix="type the same command again to go on")

    earlier = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


@contextlib.contextmanager
def kept_handlers() -> Iterator[None]:
    """Sets the handlers of SIGTERM and SIGINT again after a block that replaces them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def graceful_stop(folder: Path) -> Iterator[None]:
    """While active, a signal creates `folder/STOP`; a Preempted that follows a SIGINT becomes Interrupted."""
    received: list[int] = []

    def ask(number: int, frame: FrameType | None) -> None:
        if received:
            raise KeyboardInterrupt
        received.append(number)
        (folder / STOP_FILE).touch()

    (folder / STOP_FILE).unlink(missing_ok=True)
    earlier = {number: signal.signal(number, ask) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    except Preempted as error:
        if signal.SIGINT in received:
            raise Interrupted(error.message, code=error.code, fix=error.fix) from error
        raise
    finally:
        for number, handler in earlier.items():
            signal.signal(number, handler)
        (folder / STOP_FILE).unlink(missing_ok=True)
