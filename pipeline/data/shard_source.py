"""Where a reader gets open shards from."""

import os
from pathlib import Path
from typing import Protocol

from pipeline.data.manifest import ShardEntry
from pipeline.errors import DataError


class ShardSource(Protocol):
    """folder: manifest, index and fitted files. max_open: shards a process may keep open.

    is_remote: `open` may take long, and itself gives up when nothing moves.
    """

    folder: Path
    max_open: int
    is_remote: bool

    def open(self, entry: ShardEntry) -> int:
        """File descriptor of a shard of the size that the manifest says; the caller closes it. Raises KindredError."""
        ...


class LocalShards:
    """The shards of a data set folder."""

    max_open = 64
    is_remote = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __str__(self) -> str:
        return str(self.folder.resolve())

    def open(self, entry: ShardEntry) -> int:
        """File descriptor of a shard. Raises DataError where it is missing or of another size."""
        try:
            descriptor = os.open(self.folder / "shards" / entry.name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError as error:
            raise _changed("the shard cannot be opened", entry, code="DATA_CHANGED") from error
        size = os.fstat(descriptor).st_size
        if size != entry.bytes:
            os.close(descriptor)
            code = "DATA_TRUNCATED" if size < entry.bytes else "DATA_CHANGED"
            raise _changed("the shard has the wrong size", entry, code=code, expected=entry.bytes, got=size)
        return descriptor


def shard_source(place: ShardSource | Path) -> ShardSource:
    """A folder stands for the shards in it."""
    return LocalShards(place) if isinstance(place, Path) else place


def _changed(message: str, entry: ShardEntry, *, code: str, expected: object = None, got: object = None) -> DataError:
    fix = "restore the shard, or ingest again"
    return DataError(message, code=code, shard=entry.name, expected=expected, got=got, fix=fix)
