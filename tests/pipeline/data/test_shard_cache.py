"""The cache between processes: one fetch, nothing half, nothing evicted in use, nothing damaged served."""

import fcntl
import hashlib
import multiprocessing
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.manifest import ShardEntry
from pipeline.data.shard_cache import ShardCache
from pipeline.errors import StorageError

SIZE = 1000


class Shard:
    """A shard, and how often it was fetched."""

    def __init__(self, number: int, size: int = SIZE) -> None:
        self.payload = bytes([number]) * size
        digest = hashlib.sha256(self.payload).hexdigest()
        self.entry = ShardEntry(name=f"shard-{number:05d}.tar", bytes=size, count=1, sha256=digest)
        self.fetches = 0

    def fetch(self, file: BinaryIO) -> None:
        self.fetches += 1
        file.write(self.payload)

    def path(self, folder: Path) -> Path:
        return folder / f"{self.entry.sha256}.tar"


def content(cache: ShardCache, shard: Shard) -> bytes:
    descriptor = cache.open(shard.entry, shard.fetch)
    try:
        return os.pread(descriptor, 10 * SIZE, 0)
    finally:
        os.close(descriptor)


def names(folder: Path) -> set[str]:
    return {path.suffix for path in folder.iterdir()} - {""}


def test_a_shard_is_fetched_once_and_then_opened(tmp_path: Path) -> None:
    shard = Shard(1)
    for cache in (ShardCache(tmp_path, 10 * SIZE), ShardCache(tmp_path, 10 * SIZE)):
        assert content(cache, shard) == content(cache, shard) == shard.payload

    assert shard.fetches == 1
    assert names(tmp_path) == {".tar"}


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.write_bytes(path.read_bytes()[:-1]),
        lambda path: path.write_bytes(path.read_bytes() + b"x"),
        lambda path: path.write_bytes(b"\x00" + path.read_bytes()[1:]),
        lambda path: path.write_bytes(b""),
        lambda path: path.unlink(),
    ],
    ids=["truncated", "longer", "flipped", "empty", "deleted"],
)
def test_a_damaged_file_is_fetched_again(tmp_path: Path, damage: Callable[[Path], object]) -> None:
    shard = Shard(1)
    content(ShardCache(tmp_path, 10 * SIZE), shard)
    damage(shard.path(tmp_path))

    assert content(ShardCache(tmp_path, 10 * SIZE), shard) == shard.payload
    assert shard.fetches == 2


def test_a_failed_fetch_leaves_nothing_and_can_be_repeated(tmp_path: Path) -> None:
    shard, cache = Shard(1), ShardCache(tmp_path, 10 * SIZE)

    def broken(file: BinaryIO) -> None:
        file.write(b"half")
        raise StorageError("cut", code="STORAGE_UNAVAILABLE")

    with pytest.raises(StorageError):
        cache.open(shard.entry, broken)

    assert names(tmp_path) == set()
    assert content(cache, shard) == shard.payload


def test_the_least_recently_opened_goes_first(tmp_path: Path) -> None:
    first, second, third = (Shard(number) for number in (1, 2, 3))
    cache = ShardCache(tmp_path, 2 * SIZE)
    for age, shard in ((30, first), (20, second)):
        content(cache, shard)
        os.utime(shard.path(tmp_path), (age, age))
    content(cache, first)

    content(cache, third)

    assert {path.stem for path in tmp_path.glob("*.tar")} == {first.entry.sha256, third.entry.sha256}
    assert content(cache, first) == first.payload
    assert first.fetches == 1


def test_an_open_shard_stays_and_a_cache_full_of_them_says_so(tmp_path: Path) -> None:
    first, second = Shard(1), Shard(2)
    cache = ShardCache(tmp_path, SIZE + 10)
    descriptor = cache.open(first.entry, first.fetch)

    with pytest.raises(StorageError) as caught:
        content(ShardCache(tmp_path, SIZE + 10), second)

    assert caught.value.code == "STORAGE_CACHE_FULL"
    assert caught.value.shard == "shard-00002.tar"
    assert first.path(tmp_path).exists()
    os.close(descriptor)
    assert content(cache, second) == second.payload
    assert not first.path(tmp_path).exists()


@given(st.lists(st.integers(0, 5), min_size=1, max_size=30), st.integers(1, 4))
@settings(max_examples=25, deadline=None)
def test_the_limit_holds_after_every_open(
    tmp_path_factory: pytest.TempPathFactory, wanted: list[int], room: int
) -> None:
    folder = tmp_path_factory.mktemp("cache")
    cache, shards = ShardCache(folder, room * SIZE), [Shard(number) for number in range(6)]
    for number in wanted:
        assert content(cache, shards[number]) == shards[number].payload
        assert sum(path.stat().st_size for path in folder.iterdir()) <= room * SIZE

    if len(set(wanted)) <= room:
        assert sum(shard.fetches for shard in shards) == len(set(wanted))


def test_what_a_killed_process_leaves_is_no_shard_and_goes_away(tmp_path: Path) -> None:
    shard, other = Shard(1), Shard(2)
    process = multiprocessing.get_context("fork").Process(target=_die_in_the_middle, args=(tmp_path, shard))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert names(tmp_path) == {".part"}

    content(ShardCache(tmp_path, SIZE), other)  # another download cleans up, and needs the space

    assert names(tmp_path) == {".tar"}
    assert content(ShardCache(tmp_path, 2 * SIZE), shard) == shard.payload


def test_the_same_shard_after_a_kill_starts_from_nothing(tmp_path: Path) -> None:
    shard = Shard(1)
    process = multiprocessing.get_context("fork").Process(target=_die_in_the_middle, args=(tmp_path, shard))
    process.start()
    process.join()

    assert content(ShardCache(tmp_path, SIZE), shard) == shard.payload
    assert names(tmp_path) == {".tar"}


def _die_in_the_middle(folder: Path, shard: Shard) -> None:
    def fetch(file: BinaryIO) -> None:
        file.write(shard.payload[:500])
        file.flush()
        os.kill(os.getpid(), signal.SIGKILL)

    ShardCache(folder, 10 * SIZE).open(shard.entry, fetch)


def test_four_processes_fetch_one_shard_once(tmp_path: Path) -> None:
    shard, log = Shard(1), tmp_path / "log"
    context = multiprocessing.get_context("fork")
    barrier = context.Barrier(4)
    processes = [context.Process(target=_ask, args=(tmp_path / "cache", shard, barrier, log)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0] * 4
    assert log.read_text() == "fetched\n"


def _ask(folder: Path, shard: Shard, barrier: object, log: Path) -> None:
    def fetch(file: BinaryIO) -> None:
        with log.open("a") as lines:
            lines.write("fetched\n")
        shard.fetch(file)

    cache = ShardCache(folder, 10 * SIZE)
    barrier.wait()  # type: ignore[attr-defined]
    descriptor = cache.open(shard.entry, fetch)
    assert os.pread(descriptor, SIZE, 0) == shard.payload


def test_processes_that_fight_for_a_small_cache_all_get_their_bytes(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_wander, args=(tmp_path, start)) for start in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()

    assert [process.exitcode for process in processes] == [0] * 4
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 5 * SIZE
    assert names(tmp_path) == {".tar"}


def _wander(folder: Path, start: int) -> None:
    """Room for one open shard and one download of each of four processes, and eight shards."""
    cache, shards = ShardCache(folder, 5 * SIZE), [Shard(number) for number in range(8)]
    for step in range(100):
        shard = shards[(start + step * (start + 1)) % 8]
        assert content(cache, shard) == shard.payload


def test_an_evicted_shard_is_still_read_by_whoever_has_it_open_and_locked(tmp_path: Path) -> None:
    shard, cache = Shard(1), ShardCache(tmp_path, SIZE)
    descriptor = cache.open(shard.entry, shard.fetch)

    with shard.path(tmp_path).open("rb") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)

    shard.path(tmp_path).unlink()
    assert os.pread(descriptor, SIZE, 0) == shard.payload
    os.close(descriptor)


def test_a_folder_that_cannot_be_used_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    with pytest.raises(StorageError) as caught:
        ShardCache(tmp_path / "file" / "cache", SIZE)

    assert caught.value.field == "data.cache"


def test_a_disk_without_space_is_a_typed_error_and_leaves_nothing(tmp_path: Path) -> None:
    huge = Shard(1).entry.model_copy(update={"bytes": 1 << 60})
    cache = ShardCache(tmp_path, 1 << 61)

    with pytest.raises(StorageError) as caught:
        cache.open(huge, Shard(1).fetch)

    assert caught.value.code == "STORAGE_CACHE"
    assert cache.free() < 1 << 60
    assert names(tmp_path) == set()
