"""Several data sets with equal streams as one: the sample numbers of each follow those of the one before."""

from collections.abc import Sequence

import numpy as np
import torch

from modalities.spec import Signal, SignalError
from pipeline.data.bad_sample import bad_sample
from pipeline.data.manifest import Manifest
from pipeline.data.read import ShardReader
from pipeline.errors import DataError, Problems
from pipeline.types import Batch


class ConcatenatedReader:
    """Reads batches across data sets, as `ShardReader` does from one; the codecs are those of the first.

    Raises Problems at once that name every difference between the data sets' streams.
    """

    def __init__(self, readers: Sequence[ShardReader]) -> None:
        if problems := _differences([reader.manifest for reader in readers]):
            raise Problems(list(problems))
        self.readers = tuple(readers)
        self._ends = np.cumsum([len(reader.index) for reader in readers])

    def batch(self, idx: np.ndarray, *, streams: Sequence[str], label: str | None = None) -> Batch:
        """Samples idx (B,) in that order. Raises DataError naming shard, key, stream and offset; StorageError."""
        idx = np.asarray(idx, np.int64)
        owner, local = self._places(idx)
        payloads: dict[str, list[bytes | None]] = {name: [None] * len(idx) for name in streams}
        content = {name: np.empty(len(idx), np.int64) for name in streams}
        labels = np.empty(len(idx), np.int64)
        for number, reader in enumerate(self.readers):
            rows = np.flatnonzero(owner == number)
            if not len(rows):
                continue
            for name, found in reader.payloads(local[rows], streams).items():
                for row, payload in zip(rows.tolist(), found, strict=True):
                    payloads[name][row] = payload
                absent = reader.index.stream(name).size[local[rows]] < 0
                content[name][rows] = np.where(absent, -1 - idx[rows], reader.index.content(name, local[rows]))
            if label is not None:
                labels[rows] = self._labels(reader, label)[local[rows]]
        signals = {name: self._decode(name, payloads[name], owner, local) for name in streams}
        hashes = {name: torch.from_numpy(values) for name, values in content.items()}
        return Batch(torch.from_numpy(idx), signals, hashes, None if label is None else torch.from_numpy(labels))

    def close(self) -> None:
        """Close the shards; a later batch opens them again."""
        for reader in self.readers:
            reader.close()

    def _places(self, idx: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Number of the data set and sample number in it, each (B,)."""
        if len(idx) and not 0 <= idx.min() <= idx.max() < self._ends[-1]:
            raise IndexError(f"samples {idx.min()}..{idx.max()} of {self._ends[-1]}")
        owner = np.searchsorted(self._ends, idx, side="right")
        return owner, idx - np.concatenate([[0], self._ends[:-1]])[owner]

    def _decode(self, stream: str, payloads: list[bytes | None], owner: np.ndarray, local: np.ndarray) -> Signal:
        try:
            return self.readers[0].codecs[stream].decode(payloads)
        except SignalError as error:
            if error.row is not None:  # its own reader names the shard and the key
                row = error.row
                self.readers[int(owner[row])].batch(local[row : row + 1], streams=[stream])
            raise bad_sample(error, field=stream) from error

    def _labels(self, reader: ShardReader, label: str) -> np.ndarray:
        expected, got = self.readers[0].manifest.labels.get(label), reader.manifest.labels.get(label)
        if expected != got:
            raise DataError(
                f"the classes of {label} differ between {self.readers[0].manifest.name} and {reader.manifest.name}",
                code="DATA_MIX",
                field=label,
                expected=expected,
                got=got,
            )
        return reader.index.labels(label)


def _differences(manifests: Sequence[Manifest]) -> list[DataError]:
    """What keeps these data sets from being read as one."""
    first, problems = manifests[0], []
    for other in manifests[1:]:
        if first.streams.keys() != other.streams.keys():
            problems.append(_different(first, other, "streams", sorted(first.streams), sorted(other.streams)))
        for name in first.streams.keys() & other.streams.keys():
            mine, theirs = first.streams[name], other.streams[name]
            schema, others = {"kind": mine.kind, **mine.schema_}, {"kind": theirs.kind, **theirs.schema_}
            problems += [
                _different(first, other, f"streams.{name}.{key}", schema.get(key), others.get(key))
                for key in sorted(schema.keys() | others.keys())
                if schema.get(key) != others.get(key)
            ]
            if mine.files != theirs.files:
                problems.append(_different(first, other, f"streams.{name}.files", mine.files, theirs.files))
    return problems


def _different(first: Manifest, other: Manifest, field: str, expected: object, got: object) -> DataError:
    return DataError(
        f"data set {other.name} does not match {first.name}",
        code="DATA_MIX",
        field=field,
        expected=expected,
        got=got,
        fix="ingest both with the same schemas and fitted files",
    )
