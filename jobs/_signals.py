"""SIGTERM and SIGINT ask for a graceful end: a stop file that every worker looks for. A second one ends at once."""

import contextlib
import signal
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType

from pipeline.errors import Preempted

STOP_FILE = "STOP"
EXIT_INTERRUPTED = 130
_GO_ON = "type the same command again to go on"


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
        raise Preempted("stopped by SIGTERM", code="PREEMPTED", fix=_GO_ON)

    earlier = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, earlier)


@contextlib.contextmanager
def kept_handlers(stopping: Callable[[], bool] = lambda: False) -> Iterator[None]:
    """What the handlers of SIGTERM and SIGINT raise leaves the block at once, though a library in it may catch every
    Exception and go on; so does Preempted where `stopping` is true before or after one. Then they are set again: the
    block may have replaced them."""
    _end_where(stopping)
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    raised: list[BaseException] = []

    def hear(number: int, frame: FrameType | None) -> None:
        handler = kept[signal.Signals(number)]
        assert callable(handler)  # noqa: S101 - set for such alone
        try:
            handler(number, frame)
            _end_where(stopping)
        except BaseException as error:
            raised.append(error)
        if raised:
            raise _Leave

    for number, handler in kept.items():
        if callable(handler):
            signal.signal(number, hear)
    try:
        yield
    finally:
        for number, handler in kept.items():
            signal.signal(number, handler)
        if raised:
            raise raised[0]


class _Leave(BaseException):
    """No Exception, as KeyboardInterrupt is none."""


def _end_where(stopping: Callable[[], bool]) -> None:
    if stopping():
        raise Preempted("stopped while Ray started", code="PREEMPTED", fix=_GO_ON)


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
