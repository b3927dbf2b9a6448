"""Shards of remote data sets on the local disk, named by their sha256; shared by every process of the machine.

An open shard holds a shared file lock, so it is never evicted; a download holds an exclusive one on its `.part` file,
so one process fetches a shard once. Locks end with their process: what a killed one leaves is a `.part` that nobody
holds. A descriptor that a child process inherits keeps its lock.
The folder must be on a local disk: flock is not reliable on every network file system.
"""

import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from pipeline.data.cache_errors import cache_errors
from pipeline.data.manifest import ShardEntry
from pipeline.errors import StorageError

_CHUNK = 1 << 20


class ShardCache:
    """Whole shards below `folder`, at most `max_bytes` with downloads under way; the least recently opened go first."""

    def __init__(self, folder: Path, max_bytes: int) -> None:
        self.folder, self.max_bytes = folder, max_bytes
        self._checked: set[tuple[str, int]] = set()
        with cache_errors():
            folder.mkdir(parents=True, exist_ok=True)

    def open(self, entry: ShardEntry, fetch: Callable[[BinaryIO], None]) -> int:
        """File descriptor of the whole shard; `fetch` writes it into a file where the cache lacks it.

        The sha256 is checked once per process. Raises StorageError and what `fetch` raises.
        """
        while True:
            if (descriptor := self._open_whole(entry)) is not None:
                return descriptor
            self._fetch(entry, fetch)

    def free(self) -> int:
        """Bytes that shards could take: within the limit and on the disk, counting what can be evicted."""
        with cache_errors():
            disk = os.statvfs(self.folder)
            return min(self.max_bytes, disk.f_bavail * disk.f_frsize + sum(self._sizes().values()))

    def _path(self, entry: ShardEntry) -> Path:
        return self.folder / f"{entry.sha256}.tar"

    def _open_whole(self, entry: ShardEntry) -> int | None:
        try:
            descriptor = os.open(self._path(entry), os.O_RDONLY | os.O_CLOEXEC)
        except FileNotFoundError:
            return None
        try:
            with cache_errors():
                fcntl.flock(descriptor, fcntl.LOCK_SH)
                status = os.fstat(descriptor)
                # No links: evicted between open and lock.
                if status.st_nlink and status.st_size == entry.bytes and self._has_sha256(descriptor, entry, status):
                    os.utime(descriptor)
                    return descriptor
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)
        return None

    def _has_sha256(self, descriptor: int, entry: ShardEntry, status: os.stat_result) -> bool:
        known = entry.sha256, status.st_ino
        if known in self._checked:
            return True
        digest = hashlib.sha256()
        for start in range(0, entry.bytes, _CHUNK):
            digest.update(os.pread(descriptor, _CHUNK, start))
        if digest.hexdigest() == entry.sha256:
            self._checked.add(known)
        return known in self._checked

    def _fetch(self, entry: ShardEntry, fetch: Callable[[BinaryIO], None]) -> None:
        part = self._path(entry).with_suffix(".part")
        with _claimed(part) as file:
            if (descriptor := self._open_whole(entry)) is not None:  # another process was faster
                os.close(descriptor)
                part.unlink()
                return
            try:
                self._path(entry).unlink(missing_ok=True)
                self._reserve(file, entry)
                with cache_errors():
                    fetch(file)
                    file.flush()
                    os.fsync(file.fileno())
                    part.rename(self._path(entry))
            except BaseException:
                part.unlink()
                raise
            self._checked.add((entry.sha256, os.fstat(file.fileno()).st_ino))

    def _reserve(self, file: BinaryIO, entry: ShardEntry) -> None:
        """Evict until the shard fits, then take its space on the disk."""
        with cache_errors(), (self.folder / "lock").open("ab") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            file.truncate(0)
            sizes = self._sizes()
            need = sum(sizes.values()) + entry.bytes
            for path, size in sizes.items():
                if need <= self.max_bytes and path.suffix != ".part":
                    break
                if path.stem != entry.sha256 and _evict(path):
                    need -= size
            if need > self.max_bytes:
                raise StorageError(
                    "the cache is full of shards that are in use",
                    code="STORAGE_CACHE_FULL",
                    shard=entry.name,
                    field="data.cache_gib",
                    expected=f"<= {self.max_bytes} bytes",
                    got=need,
                    fix="raise data.cache_gib",
                )
            os.posix_fallocate(file.fileno(), 0, entry.bytes)

    def _sizes(self) -> dict[Path, int]:
        """Bytes of what is there: downloads first, then shards from the least recently opened one on."""
        found: list[tuple[bool, int, Path, int]] = []
        for path in self.folder.iterdir():
            try:
                status = path.stat()
            except FileNotFoundError:
                continue
            if path.suffix in {".part", ".tar"}:
                found.append((path.suffix == ".tar", status.st_mtime_ns, path, status.st_size))
        return {path: size for *_, path, size in sorted(found)}


@contextmanager
def _claimed(part: Path) -> Iterator[BinaryIO]:
    """The `.part` file, held by this call alone; waits for another holder."""
    while True:
        with cache_errors():
            file = os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600), "r+b")
        with cache_errors(), file:  # closing writes too
            fcntl.flock(file, fcntl.LOCK_EX)
            if _is_at(file, part):
                yield file
                return


def _evict(path: Path) -> bool:
    """Delete a shard or a download that nobody holds."""
    try:
        file = path.open("rb")
    except FileNotFoundError:
        return True
    with file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        if _is_at(file, path):
            path.unlink()
        return True


def _is_at(file: BinaryIO, path: Path) -> bool:
    """False where the file was renamed or deleted while its lock was waited for."""
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
