"""Samples by number: positions from the index, one pread and one checksum per payload, allow-listed decoders."""

import os
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from modalities.spec import Codec, SignalError
from pipeline.data.bad_sample import bad_sample
from pipeline.data.index import Index, StreamColumns
from pipeline.data.manifest import Manifest, ShardEntry
from pipeline.errors import DataError
from pipeline.types import Batch


class ShardReader:
    """Reads batches from a data set folder; shards are opened on first use and checked for their size.

    Reading one sample does not depend on others, so any process may read any part. Close it, or use it in `with`.
    """

    def __init__(self, folder: Path, manifest: Manifest, index: Index, codecs: Mapping[str, Codec]) -> None:
        self.folder, self.manifest, self.index, self.codecs = folder, manifest, index, dict(codecs)
        self._files: dict[int, int] = {}

    def __enter__(self) -> "ShardReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_files": {}}

    def close(self) -> None:
        """Close the shards; a later batch opens them again."""
        while self._files:
            os.close(self._files.popitem()[1])

    def batch(self, idx: np.ndarray, *, streams: Sequence[str], label: str | None = None) -> Batch:
        """Samples idx (B,) in that order. Raises DataError naming shard, key and stream."""
        idx = np.asarray(idx, np.int64)
        signals, content = {}, {}
        for name in streams:
            signals[name] = self.codecs[name].collate(self.decoded(idx, name))
            content[name] = torch.from_numpy(self.index.content(name, idx))
        labels = None if label is None else torch.from_numpy(self.index.labels(label)[idx])
        return Batch(torch.from_numpy(idx), signals, content, labels)

    def decoded(self, idx: np.ndarray, stream: str) -> list[np.ndarray | None]:
        """Decoded arrays of one stream, None where absent."""
        columns, codec = self.index.stream(stream), self.codecs[stream]
        values: list[np.ndarray | None] = []
        for i in idx.tolist():
            payload = self._payload(i, columns, stream)
            try:
                values.append(None if payload is None else codec.decode(payload))
            except SignalError as error:
                shard = self.manifest.shards[self.index.shard[i]].name
                raise bad_sample(error, key=str(self.index.key[i]), field=stream, shard=shard) from error
        return values

    def _payload(self, i: int, columns: StreamColumns, stream: str) -> bytes | None:
        size = int(columns.size[i])
        if size < 0:
            return None
        shard, offset = int(self.index.shard[i]), int(columns.offset[i])
        descriptor = self._files[shard] if shard in self._files else self._open(shard)
        payload = os.pread(descriptor, size, offset)
        if len(payload) != size or zlib.crc32(payload) != columns.crc32[i]:
            raise DataError(
                "the stored payload has changed",
                code="DATA_CHECKSUM" if len(payload) == size else "DATA_TRUNCATED",
                shard=self.manifest.shards[shard].name,
                offset=offset,
                key=str(self.index.key[i]),
                field=stream,
                expected=int(columns.crc32[i]) if len(payload) == size else size,
                got=zlib.crc32(payload) if len(payload) == size else len(payload),
                fix="restore the shard, or ingest again",
            )
        return payload

    def _open(self, shard: int) -> int:
        entry = self.manifest.shards[shard]
        self._files[shard] = open_shard(self.folder, entry)
        return self._files[shard]


def open_shard(folder: Path, entry: ShardEntry) -> int:
    """File descriptor of a shard of the size that the manifest says. Raises DataError."""
    try:
        descriptor = os.open(folder / "shards" / entry.name, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise _changed("the shard cannot be opened", entry, code="DATA_CHANGED") from error
    size = os.fstat(descriptor).st_size
    if size != entry.bytes:
        os.close(descriptor)
        code = "DATA_TRUNCATED" if size < entry.bytes else "DATA_CHANGED"
        raise _changed("the shard has the wrong size", entry, code=code, expected=entry.bytes, got=size)
    return descriptor


def _changed(message: str, entry: ShardEntry, *, code: str, expected: object = None, got: object = None) -> DataError:
    fix = "restore the shard, or ingest again"
    return DataError(message, code=code, shard=entry.name, expected=expected, got=got, fix=fix)
