"""Many payloads in few reads: the right bytes, and a typed error for storage that changes, fails or hangs."""

import copy
import os
import signal
import threading
import time
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.manifest import ShardEntry
from pipeline.data.read_ahead import read_ahead
from pipeline.data.shard_files import ShardFiles
from pipeline.data.shard_source import LocalShards
from pipeline.errors import DataError, EnvironmentFault, StorageError
from tests.wait_for import wait_for

SIZES = (9_000_000, 40_000, 1)  # more than one run, many payloads, one byte


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("files")
    (root / "shards").mkdir()
    generator = np.random.default_rng(0)
    for number, size in enumerate(SIZES):
        (root / "shards" / f"shard-{number:05d}.tar").write_bytes(generator.bytes(size))
    return root


def entries(sizes: tuple[int, ...] = SIZES) -> list[ShardEntry]:
    return [
        ShardEntry(name=f"shard-{number:05d}.tar", bytes=size, count=1, sha256="0" * 64)
        for number, size in enumerate(sizes)
    ]


def read(files: ShardFiles, places: list[tuple[int, int, int]]) -> list[bytes]:
    shard, offset, size = (np.array(column, np.int64) for column in zip(*places, strict=True))
    return files.read(shard, offset, size)


@st.composite
def places(draw: st.DrawFn) -> tuple[int, int, int]:
    shard = draw(st.integers(0, len(SIZES) - 1))
    offset = draw(st.integers(0, SIZES[shard]))
    return shard, offset, draw(st.integers(0, min(SIZES[shard] - offset, 100_000)))


@given(st.lists(places(), min_size=1, max_size=40))
def test_any_payloads_in_any_order_are_the_bytes_at_their_places(
    folder: Path, wanted: list[tuple[int, int, int]]
) -> None:
    whole = [(folder / "shards" / entry.name).read_bytes() for entry in entries()]

    found = read(ShardFiles(LocalShards(folder), entries()), wanted)

    assert found == [whole[shard][offset : offset + size] for shard, offset, size in wanted]


def test_nothing_is_read_for_nothing(folder: Path) -> None:
    empty = np.zeros(0, np.int64)

    assert ShardFiles(LocalShards(folder / "nowhere"), entries()).read(empty, empty, empty) == []


def test_descriptors_are_bounded_and_close(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(LocalShards, "max_open", 2)
    before = len(os.listdir("/proc/self/fd"))
    files = ShardFiles(LocalShards(folder), entries())
    for _ in range(3):
        read(files, [(0, 0, 1), (1, 0, 1), (2, 0, 1)])
        assert len(os.listdir("/proc/self/fd")) == before + 2
    files.close()

    assert len(os.listdir("/proc/self/fd")) == before


def test_a_copy_opens_its_own_files(folder: Path) -> None:
    files = ShardFiles(LocalShards(folder), entries(), io_timeout_s=7)
    expected = read(files, [(1, 3, 5)])
    twin = copy.deepcopy(files)
    files.close()

    assert read(twin, [(1, 3, 5)]) == expected
    assert twin.io_timeout_s == 7


@pytest.mark.fault("D32")
def test_a_shard_that_is_deleted_or_replaced_during_the_run_is_named(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    for entry in entries((10, 20)):
        (tmp_path / "shards" / entry.name).write_bytes(b"x" * entry.bytes)
    files = ShardFiles(LocalShards(tmp_path), entries((10, 20)))
    assert read(files, [(0, 0, 10)]) == [b"x" * 10]

    (tmp_path / "shards" / "shard-00001.tar").unlink()
    with pytest.raises(DataError) as caught:
        read(files, [(0, 0, 10), (1, 0, 20)])
    assert (caught.value.code, caught.value.shard) == ("DATA_CHANGED", "shard-00001.tar")

    (tmp_path / "shards" / "shard-00001.tar").write_bytes(b"x" * 30)
    with pytest.raises(DataError) as caught:
        read(files, [(1, 0, 20)])
    assert (caught.value.code, caught.value.expected, caught.value.got) == ("DATA_CHANGED", 20, 30)


def test_a_read_that_fails_is_a_storage_error(tmp_path: Path) -> None:
    (tmp_path / "shards" / "shard-00000.tar").mkdir(parents=True)  # opens, but cannot be read
    size = (tmp_path / "shards" / "shard-00000.tar").stat().st_size

    with pytest.raises(StorageError) as caught:
        read(ShardFiles(LocalShards(tmp_path), entries((size,))), [(0, 0, 5)])

    assert (caught.value.code, caught.value.shard) == ("STORAGE_READ", "shard-00000.tar")


@pytest.mark.fault("D33")
def test_storage_that_hangs_is_named_after_the_time_limit(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    (tmp_path / "shards" / "shard-00000.tar").write_bytes(b"x" * 10)
    pipe = tmp_path / "shards" / "shard-00001.tar"
    os.mkfifo(pipe)  # opening waits for a writer
    files = ShardFiles(LocalShards(tmp_path), entries((10, 20)), io_timeout_s=0.3)

    with pytest.raises(StorageError) as caught:
        read(files, [(0, 0, 10), (1, 0, 20)])

    assert (caught.value.code, caught.value.shard, caught.value.exit_code) == ("STORAGE_STALLED", "shard-00001.tar", 75)
    with pipe.open("wb"):  # lets the thread that was left behind go
        pass
    assert read(files, [(0, 0, 10)]) == [b"x" * 10]


class _AnnouncedShards(LocalShards):
    """Leaves a file `opening` before it opens a shard."""

    def open(self, entry: ShardEntry) -> int:
        (self.folder / "opening").touch()
        return super().open(entry)


def _read_from(folder: Path, answer: Connection) -> None:
    try:
        read(ShardFiles(_AnnouncedShards(folder), entries((10,)), io_timeout_s=2), [(0, 0, 10)])
    except (DataError, StorageError) as error:
        answer.send(error.code)


def test_a_process_that_was_stopped_for_longer_has_not_waited_in_vain(tmp_path: Path) -> None:
    (tmp_path / "shards").mkdir()
    pipe = tmp_path / "shards" / "shard-00000.tar"
    os.mkfifo(pipe)  # opening waits for a writer
    context = get_context("fork")
    answers, answer = context.Pipe(duplex=False)
    process = context.Process(target=_read_from, args=(tmp_path, answer))
    process.start()
    assert process.pid is not None
    wait_for((tmp_path / "opening").exists)

    os.kill(process.pid, signal.SIGSTOP)
    time.sleep(3)  # the fault itself: a machine that sleeps
    os.kill(process.pid, signal.SIGCONT)
    assert not answers.poll(0.5)  # it still waits
    with pipe.open("r+b", buffering=0):
        assert answers.poll(30)
        assert answers.recv() == "DATA_TRUNCATED"  # it went on: a pipe has no ten bytes
    process.join()


def test_a_machine_out_of_threads_is_named_with_its_limits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def start(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    files = ShardFiles(LocalShards(folder), entries())
    ahead = read_ahead([0], lambda job: job, readers=1, max_bytes=1, size=lambda item: 1)

    with pytest.raises(EnvironmentFault, match=r"ENV_THREADS.*ulimit -u is .*Fix: ") as caught:
        read(files, [(0, 0, 1)])
    with pytest.raises(EnvironmentFault, match="ENV_THREADS"):
        next(ahead)

    assert caught.value.exit_code == 71
