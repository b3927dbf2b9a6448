"""A shard read once from front to back: every byte is hashed, and slices are handed out on the way."""

import hashlib
import os

from pipeline.errors import StorageError

_CHUNK = 4 << 20


class ForwardFile:
    """Slices of an open file in ascending order; memory is one chunk, or the largest slice."""

    def __init__(self, descriptor: int, size: int, *, shard: str) -> None:
        self.size, self.shard = size, shard
        self._descriptor, self._digest = descriptor, hashlib.sha256()
        self._start, self._chunk = 0, b""

    def take(self, offset: int, size: int) -> bytes:
        """Bytes [offset, offset + size), fewer where the file ends. Offsets never go back behind an earlier one."""
        end = self._start + len(self._chunk)
        if offset + size > end and end < self.size:
            self._advance(offset, size)
        begin = offset - self._start
        return self._chunk[begin : begin + size]

    def sha256(self) -> str:
        """Hash of the whole file; reads what is left."""
        while (end := self._start + len(self._chunk)) < self.size:
            self._advance(end, 0)
            if self._start + len(self._chunk) == end:
                break  # the file was cut while it was read; the hash says so
        return self._digest.hexdigest()

    def _advance(self, offset: int, size: int) -> None:
        """Read on until [offset, offset + size) is in memory, dropping what lies before it."""
        end = self._start + len(self._chunk)
        while end < min(offset + size, self.size) or (size == 0 and end == offset):
            more = self._read(end, max(_CHUNK, min(offset + size, self.size) - end))
            if not more:
                return
            keep = self._chunk[max(0, offset - self._start) :] if offset < end else b""
            self._start, self._chunk = end - len(keep), keep + more
            end += len(more)
            if size == 0:
                return

    def _read(self, offset: int, size: int) -> bytes:
        try:
            more = os.pread(self._descriptor, min(size, self.size - offset), offset)
        except OSError as error:
            raise StorageError(
                f"the shard cannot be read: {error.strerror}",
                code="STORAGE_READ",
                shard=self.shard,
                offset=offset,
                fix="check the storage, then type the same command again",
            ) from error
        self._digest.update(more)
        return more
