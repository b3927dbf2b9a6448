"""Standard streams that are full, closed, of another encoding or a terminal that is gone."""

import contextlib
import io
import json
import logging
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs._console import Console
from jobs._standard_streams import expendable_stderr, write_json_line
from pipeline.errors import StorageError

ROOT = Path(__file__).parents[2]


def kindred(shell: str, *arguments: str, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    """shell: redirections of the command, as typed."""
    given = ["sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-m", "jobs", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    return subprocess.run(given, cwd=folder, env=environment, capture_output=True, text=True, check=False)


@contextlib.contextmanager
def hung_up() -> Iterator[io.TextIOWrapper]:
    """A terminal whose other side is closed."""
    other_side, terminal = os.openpty()
    with open(terminal, "w", buffering=1, encoding="utf-8") as stream:
        os.close(other_side)
        try:
            yield stream
        finally:
            with contextlib.suppress(OSError):
                stream.flush()


def test_a_terminal_that_is_gone_ends_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with hung_up() as stream:
        monkeypatch.setattr(sys, "stderr", stream)
        with expendable_stderr():
            handler = logging.StreamHandler()
            for _ in range(2):
                Console().line("step 1/2")
                handler.emit(logging.makeLogRecord({"msg": "a warning"}))
            with Console().progress("ingest", 10) as advance:
                advance(10)
            Console().settings("run", {"streams": "imu"})
        assert sys.stderr is stream
        stream.write("what Python writes when it ends\n")


def test_a_reader_that_left_is_still_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    stream = io.TextIOWrapper(io.FileIO(writing, "w"), encoding="utf-8", write_through=True)  # pyright: ignore[reportArgumentType]
    monkeypatch.setattr(sys, "stderr", stream)

    with expendable_stderr(), pytest.raises(BrokenPipeError):
        Console().line("step 1/2")


@pytest.mark.parametrize("redirection", ["2>/dev/full", "2>&-"])
def test_an_exit_code_and_its_json_need_no_standard_error(redirection: str, tmp_path: Path) -> None:
    done = kindred(redirection, "ingest", "nowhere.yaml", "--json", folder=tmp_path)

    assert done.returncode == 64
    assert json.loads(done.stdout)["error"]["code"] == "CONFIG_FILE"
    assert kindred(redirection, "pretrian", folder=tmp_path).returncode == 64


def test_an_exit_code_needs_no_standard_output(tmp_path: Path) -> None:
    done = kindred(">/dev/full", "ingest", "nowhere.yaml", "--json", folder=tmp_path)

    assert done.returncode == 64
    first, second = done.stderr.splitlines()
    assert "CONFIG_FILE" in first
    assert "STORAGE_IO: standard output: No space left on device" in second


def test_text_for_a_full_standard_output_is_a_storage_error(tmp_path: Path) -> None:
    done = kindred(">/dev/full", "explain", "pretrain", folder=tmp_path)

    assert done.returncode == 74
    assert done.stderr.count("\n") == 1
    assert "STORAGE_IO: standard output: No space left on device" in done.stderr
    assert kindred(">&-", "explain", "pretrain", folder=tmp_path).returncode == 0


def test_json_for_a_full_standard_output_is_a_storage_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with open("/dev/full", "w", encoding="utf-8") as full:
        monkeypatch.setattr(sys, "stdout", full)
        with pytest.raises(StorageError, match="No space left"):
            write_json_line({"status": "finished"})


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_json_is_escaped_only_where_the_encoding_lacks_a_character(
    encoding: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    monkeypatch.setattr(sys, "stdout", stream)

    write_json_line({"out": "ünrun"})
    write_json_line({"out": "\udcff"})  # a byte of a name that is not UTF-8

    first, second = stream.buffer.getvalue().decode(encoding).splitlines()  # pyright: ignore[reportAttributeAccessIssue]
    assert first == ('{"out": "ünrun"}' if encoding == "utf-8" else '{"out": "\\u00fcnrun"}')
    assert second == '{"out": "\\udcff"}'
