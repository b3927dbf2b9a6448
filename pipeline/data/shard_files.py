"""Bytes of shards: near-sequential reads of many payloads at once, under a time limit."""

import os
import threading
from collections.abc import Sequence
from concurrent.futures import Future, wait
from itertools import pairwise

import numpy as np

from pipeline.data.manifest import ShardEntry
from pipeline.data.shard_source import ShardSource
from pipeline.data.thread_limits import starting_threads
from pipeline.errors import StorageError, StorageUnavailable

_LOOKS = 30  # of a waiting reader within its time limit
_GAP = 8 << 10  # between two payloads: reading over the headers there is cheaper than another system call
_RUN = 4 << 20  # bytes of one read, about


class ShardFiles:
    """The shards of a data set, opened on first use; several threads may read at once."""

    def __init__(self, source: ShardSource, shards: Sequence[ShardEntry], *, io_timeout_s: float = 30.0) -> None:
        self.source, self.shards, self.io_timeout_s = source, shards, io_timeout_s
        self._open: dict[int, _Descriptor] = {}
        self._lock = threading.Lock()

    def __reduce__(self) -> tuple[object, ...]:
        return _reopen, (self.source, self.shards, self.io_timeout_s)

    def close(self) -> None:
        """Close the shards; a later read opens them again."""
        with self._lock:
            self._open.clear()

    def read(self, shard: np.ndarray, offset: np.ndarray, size: np.ndarray) -> list[bytes]:
        """Payloads (K,) by shard number, offset and size, each int64 (K,); shorter ones where a file ends early.

        Raises DataError for a shard that cannot be opened or has another size, StorageError for a failed read,
        EnvironmentFault where the machine gives no thread to read with, StorageUnavailable where nothing arrives for
        `io_timeout_s`; a remote source keeps its own time while it fetches a shard.
        """
        reading, future = _Reading(self, shard, offset, size), Future[list[bytes]]()
        # A thread of its own, left behind when the storage hangs: no system call on a file can be interrupted.
        with starting_threads():
            threading.Thread(target=reading.run, args=(future,), name="read-shards", daemon=True).start()
        # Looks are counted, not the clock asked: a process that was stopped for a while has not waited in vain.
        silent, reads = 0, reading.reads
        while not wait([future], self.io_timeout_s / _LOOKS).done:
            silent = silent + 1 if reading.reads == reads and not reading.fetching else 0
            reads = reading.reads
            if silent == _LOOKS:
                raise StorageUnavailable(
                    f"no bytes arrived for {self.io_timeout_s:g} s",
                    code="STORAGE_STALLED",
                    shard=self.shards[reading.shard].name,
                    fix="check the storage, then type the same command again",
                )
        return future.result()

    def descriptor(self, number: int) -> "_Descriptor":
        """The open shard; it stays open as long as the caller keeps it."""
        with self._lock:
            found = self._open.pop(number, None)
            while found is None and len(self._open) >= self.source.max_open:
                del self._open[next(iter(self._open))]  # the least recent one; before opening, as a cache may be full
        found = found or _Descriptor(self.source.open(self.shards[number]))
        with self._lock:
            self._open[number] = found
        return found


class _Descriptor:
    """A file descriptor that closes with its last user."""

    def __init__(self, number: int) -> None:
        self.number = number

    def __del__(self) -> None:
        os.close(self.number)


class _Reading:
    """One call of `ShardFiles.read`, and how far it is: reads begun, the shard of the latest, whether a remote source
    fetches it now."""

    def __init__(self, files: ShardFiles, shard: np.ndarray, offset: np.ndarray, size: np.ndarray) -> None:
        self.files, self.columns = files, (shard, offset, size)
        self.shard, self.reads, self.fetching = 0, 0, False
        self.descriptor: _Descriptor | None = None

    def run(self, future: Future[list[bytes]]) -> None:
        """Read everything; the result or the error goes into the future."""
        try:
            future.set_result(self._payloads())
        except Exception as error:
            future.set_exception(error)

    def _payloads(self) -> list[bytes]:
        shard, offset, size = self.columns
        order = np.lexsort((offset, shard))
        shard, start = shard[order], offset[order]
        end, payloads = start + size[order], list[bytes]()
        runs, shards, starts, ends = _runs(shard, start, end), shard.tolist(), start.tolist(), end.tolist()
        for run in runs:
            begin, stops = starts[run.start], ends[run]
            content = self._pread(shards[run.start], begin, max(stops) - begin)
            payloads += [content[a - begin : b - begin] for a, b in zip(starts[run], stops, strict=True)]
        return [payloads[place] for place in np.argsort(order).tolist()]

    def _pread(self, number: int, offset: int, size: int) -> bytes:
        if self.descriptor is None or number != self.shard:
            self.shard, self.fetching = number, self.files.source.is_remote
            self.descriptor = None  # let go of the last shard first: a cache may have room for one only
            self.descriptor = self.files.descriptor(number)
            self.fetching = False
        descriptor = self.descriptor
        self.reads += 1
        try:
            content = os.pread(descriptor.number, size, offset)
            while len(content) < size and (
                more := os.pread(descriptor.number, size - len(content), offset + len(content))
            ):
                content += more
        except OSError as error:
            raise StorageError(
                f"the shard cannot be read: {error.strerror}",
                code="STORAGE_READ",
                shard=self.files.shards[number].name,
                offset=offset,
                fix="check the storage, then type the same command again",
            ) from error
        return content


def _runs(shard: np.ndarray, start: np.ndarray, end: np.ndarray) -> list[slice]:
    """Slices of payloads sorted by (shard, start) that lie close enough together for one read."""
    if len(start) == 0:
        return []
    apart = (np.diff(shard) != 0) | (start[1:] - end[:-1] > _GAP) | (np.diff(start // _RUN) != 0)
    bounds = [0, *(np.flatnonzero(apart) + 1).tolist(), len(start)]
    return [slice(first, last) for first, last in pairwise(bounds)]


def _reopen(source: ShardSource, shards: Sequence[ShardEntry], io_timeout_s: float) -> ShardFiles:
    return ShardFiles(source, shards, io_timeout_s=io_timeout_s)
