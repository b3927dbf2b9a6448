"""Samples by number: positions from the index, near-sequential reads, a checksum per payload, allow-listed decoders."""

import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import torch

from modalities.spec import Codec, Signal, SignalError
from pipeline.data.bad_sample import bad_sample
from pipeline.data.index import Index
from pipeline.data.manifest import Manifest
from pipeline.data.shard_files import ShardFiles
from pipeline.data.shard_source import ShardSource, shard_source
from pipeline.data.step_codec import step_codecs, uncovered
from pipeline.errors import DataError
from pipeline.types import Batch


class ShardReader:
    """Reads batches from a data set folder; shards are opened on first use and checked for their size.

    Reading one sample does not depend on others, so any process or thread may read any part. Close it, or use it in
    `with`.
    """

    def __init__(
        self,
        source: ShardSource | Path,
        manifest: Manifest,
        index: Index,
        codecs: Mapping[str, Codec],
        *,
        io_timeout_s: float = 30.0,
    ) -> None:
        """source: a folder stands for the shards in it. io_timeout_s: how long the storage may deliver nothing."""
        self.manifest, self.index, self.codecs = manifest, index, {**codecs, **step_codecs(manifest)}
        self._files = ShardFiles(shard_source(source), manifest.shards, io_timeout_s=io_timeout_s)

    def __enter__(self) -> "ShardReader":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the shards; a later batch opens them again."""
        self._files.close()

    def batch(
        self, idx: np.ndarray, *, streams: Sequence[str], label: str | None = None, step_labels: Sequence[str] = ()
    ) -> Batch:
        """Samples idx (B,) in that order; step labels are those of streams that are read.

        Raises DataError naming shard, key, stream and offset; StorageError.
        """
        idx = np.asarray(idx, np.int64)
        payloads = self.payloads(idx, [*streams, *step_labels])
        signals = {name: self._decode(name, idx, payloads[name]) for name in streams}
        content = {name: torch.from_numpy(self.index.content(name, idx)) for name in streams}
        labels = None if label is None else torch.from_numpy(self.index.labels(label)[idx])
        steps = {name: self._steps(name, idx, payloads[name], signals) for name in step_labels}
        return Batch(torch.from_numpy(idx), signals, content, labels, steps)

    def _steps(
        self, name: str, idx: np.ndarray, payloads: list[bytes | None], signals: Mapping[str, Signal]
    ) -> torch.Tensor:
        """Class numbers (B, T). Raises DataError where a sample has fewer of them than steps."""
        stream = self.manifest.step_labels[name].stream
        found, signal = self._decode(name, idx, payloads), signals[stream]
        short = uncovered(found, signal)
        if short.any():
            i = int(idx[int(short.argmax())])
            raise DataError(
                f"{name} ends before the steps of its stream",
                code="DATA_SHAPE",
                shard=self.manifest.shards[self.index.shard[i]].name,
                key=str(self.index.key[i]),
                field=name,
                fix="restore the data set, or ingest again",
            )
        return found.values

    def payloads(self, idx: np.ndarray, streams: Sequence[str]) -> dict[str, list[bytes | None]]:
        """Stored bytes of every stream, in the order of idx (B,), None where absent; their checksums are right."""
        columns = [self.index.place(name) for name in streams]
        size = np.array([column.size[idx] for column in columns], np.int64).ravel()
        offset = np.array([column.offset[idx] for column in columns], np.int64).ravel()
        crc32 = np.array([column.crc32[idx] for column in columns], np.int64).ravel()
        shard = np.tile(self.index.shard[idx], len(streams))
        own = np.flatnonzero(size >= 0)
        size, crc32 = size[own], crc32[own]
        found = self._files.read(shard[own], offset[own], size)
        lengths = np.fromiter(map(len, found), np.int64, len(found))
        wrong = (lengths != size) | (np.fromiter(map(zlib.crc32, found), np.int64, len(found)) != crc32)
        if wrong.any():
            first = int(wrong.argmax())
            stream, row = divmod(int(own[first]), len(idx))
            raise self._changed(streams[stream], int(idx[row]), found[first])
        everything: list[bytes | None] = [*found]
        if len(found) < len(shard):
            everything = [None] * len(shard)
            for place, payload in zip(own.tolist(), found, strict=True):
                everything[place] = payload
        return {name: everything[n * len(idx) : (n + 1) * len(idx)] for n, name in enumerate(streams)}

    def _decode(self, stream: str, idx: np.ndarray, payloads: list[bytes | None]) -> Signal:
        try:
            return self.codecs[stream].decode(payloads)
        except SignalError as error:
            if error.row is None:
                raise bad_sample(error, field=stream) from error
            i = int(idx[error.row])
            raise bad_sample(
                error,
                shard=self.manifest.shards[self.index.shard[i]].name,
                offset=int(self.index.place(stream).offset[i]),
                key=str(self.index.key[i]),
                field=stream,
            ) from error

    def _changed(self, stream: str, i: int, payload: bytes) -> DataError:
        columns, size = self.index.place(stream), len(payload)
        whole = size == columns.size[i]
        return DataError(
            "the stored payload has changed",
            code="DATA_CHECKSUM" if whole else "DATA_TRUNCATED",
            shard=self.manifest.shards[self.index.shard[i]].name,
            offset=int(columns.offset[i]),
            key=str(self.index.key[i]),
            field=stream,
            expected=int(columns.crc32[i]) if whole else int(columns.size[i]),
            got=zlib.crc32(payload) if whole else size,
            fix="restore the shard, or ingest again",
        )
