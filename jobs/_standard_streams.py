"""Standard error, on which nothing depends, and standard output, which says when it cannot be written."""

import contextlib
import io
import json
import os
import sys
from collections.abc import Iterator
from typing import TextIO, cast

from pipeline.errors import StorageError


@contextlib.contextmanager
def expendable_stderr() -> Iterator[None]:
    """While active, standard error may be closed, full or a terminal that is gone: then it is silent from there on.

    Everything that writes to it is meant: consoles, logs, the parser. A reader that left stays a BrokenPipeError.
    """
    given = sys.stderr
    sys.stderr = cast("TextIO", _Expendable(given if given is not None else _nowhere()))  # None: it came closed
    try:
        yield
    finally:
        sys.stderr = given


class _Expendable(io.TextIOBase):
    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> object:
        return getattr(self._stream, name)

    @property
    def encoding(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride] - TextIOBase has it as a variable
        return self._stream.encoding

    def isatty(self) -> bool:
        return self._stream.isatty()

    def fileno(self) -> int:
        return self._stream.fileno()

    def write(self, text: str) -> int:
        with self._dropped():
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with self._dropped():
            self._stream.flush()

    def close(self) -> None:
        """The stream is not ours."""

    @contextlib.contextmanager
    def _dropped(self) -> Iterator[None]:
        try:
            yield
        except BrokenPipeError:
            raise
        except OSError:
            silence(self._stream)
            self._stream = _nowhere()


def silence(stream: TextIO | None) -> None:
    """Lead a stream nowhere: what it still holds is written when the interpreter ends, and must not fail then."""
    if stream is not None:
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "w", encoding="utf-8") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


def _nowhere() -> TextIO:
    return open(os.devnull, "w", encoding="utf-8", errors="backslashreplace")


def write_json_line(document: object) -> None:
    """One line of JSON on standard output, escaped where its encoding has no such character. Raises StorageError."""
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, default=str)
    if _written(text) != text:
        text = json.dumps(document, sort_keys=True, ensure_ascii=True, default=str)
    write_output(text + "\n")


def write_output(text: str) -> None:
    """Text on standard output, where there is one. Raises StorageError, and BrokenPipeError for a reader that left."""
    if sys.stdout is None:
        return
    try:
        sys.stdout.write(_written(text))
        sys.stdout.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        silence(sys.stdout)
        message, fix = f"standard output: {error.strerror or error}", "check where it goes: the disk may be full"
        raise StorageError(message, code="STORAGE_IO", fix=fix) from error


def _written(text: str) -> str:
    """Text as standard output can hold it."""
    encoding = getattr(sys.stdout, "encoding", None) or "utf-8"
    return text.encode(encoding, "backslashreplace").decode(encoding)
