"""One row per sample: where its payloads are, its groups, labels, times and split."""

import hashlib
import io
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.data.arrow_reader import arrow_reader
from pipeline.data.manifest import INDEX_NAME, Manifest, load_manifest
from pipeline.data.split import SPLITS
from pipeline.errors import DataError


@dataclass(frozen=True)
class StreamColumns:
    """Position of one stream's payloads, each (N,) int64; size -1 where the sample lacks the stream."""

    offset: np.ndarray
    size: np.ndarray
    crc32: np.ndarray


@dataclass(frozen=True)
class Index:
    """Columns of the index, each (N,); row number = idx.

    shard: number in the manifest. record: number of the raw record; window: number within it, 0 for whole records.
    start_ns, end_ns: UTC, -1 where unknown. split: train, validation or test. step_labels: places of their payloads.
    """

    key: np.ndarray
    shard: np.ndarray
    record: np.ndarray
    window: np.ndarray
    start_ns: np.ndarray
    end_ns: np.ndarray
    split: np.ndarray
    streams: Mapping[str, StreamColumns]
    groups: Mapping[str, np.ndarray]
    classes: Mapping[str, np.ndarray]
    step_labels: Mapping[str, StreamColumns] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.key)

    def rows(self, split: str) -> np.ndarray:
        """Sorted idx (n,) int64 of a split."""
        if split not in SPLITS:
            raise DataError(f"no split {split!r}", code="DATA_FIELD", field="split", expected=list(SPLITS), got=split)
        return np.flatnonzero(self.split == split).astype(np.int64)

    def labels(self, name: str) -> np.ndarray:
        """Class numbers (N,) int64 of a label column, -1 where unlabelled. Raises DataError for unknown names."""
        return _column(self.classes, name, "label")

    def group(self, name: str) -> np.ndarray:
        """Values (N,) str of a group column, "" where unknown. Raises DataError for unknown names."""
        return _column(self.groups, name, "group")

    def content(self, stream: str, idx: np.ndarray | None = None) -> np.ndarray:
        """Hash int64 of the stored payloads of samples idx (K,), or of all (N,).

        Equal payloads have equal hashes; absent = -1 - idx.
        """
        idx = np.arange(len(self)) if idx is None else idx
        columns = self.stream(stream)
        size = columns.size[idx]
        return np.where(size < 0, -1 - idx, (columns.crc32[idx] << 32) | size)

    def present(self, stream: str) -> np.ndarray:
        """(N,) bool, True where the sample has the stream."""
        return self.stream(stream).size >= 0

    def with_aliases(self, aliases: Mapping[str, str]) -> "Index":
        """With further streams, name -> stream whose payloads they are. Raises DataError for one that there is not."""
        return replace(self, streams={**self.streams, **{name: self.stream(of) for name, of in aliases.items()}})

    def stream(self, name: str) -> StreamColumns:
        """Positions of one stream. Raises DataError for unknown names."""
        if name not in self.streams:
            raise _unknown(name, "stream", list(self.streams))
        return self.streams[name]

    def place(self, name: str) -> StreamColumns:
        """Positions of one stream or step label. Raises DataError for unknown names."""
        return self.step_labels[name] if name in self.step_labels else self.stream(name)


def _column(columns: Mapping[str, np.ndarray], name: str, what: str) -> np.ndarray:
    if name not in columns:
        raise _unknown(name, what, list(columns))
    return columns[name]


def _unknown(name: str, what: str, known: list[str]) -> DataError:
    return DataError(f"the data set has no {what} {name!r}", code="DATA_FIELD", field=name, expected=known, got=name)


def index_bytes(index: Index) -> bytes:
    """The index as a Parquet file; the same index gives the same bytes."""
    columns: dict[str, np.ndarray] = {"idx": np.arange(len(index), dtype=np.int64), "key": index.key}
    columns |= {name: getattr(index, name) for name in ("shard", "record", "window", "start_ns", "end_ns", "split")}
    for name, stream in {**index.streams, **index.step_labels}.items():
        columns |= {f"{name}.offset": stream.offset, f"{name}.size": stream.size, f"{name}.crc32": stream.crc32}
    columns |= {f"group.{name}": values for name, values in index.groups.items()}
    columns |= {f"label.{name}": values for name, values in index.classes.items()}
    buffer = io.BytesIO()
    pq.write_table(pa.table({name: pa.array(_listed(values)) for name, values in columns.items()}), buffer)
    return buffer.getvalue()


def _listed(values: np.ndarray) -> np.ndarray | list[str]:
    return values if values.dtype == np.int64 else values.tolist()


def load_index(folder: Path, manifest: Manifest | None = None) -> Index:
    """The index of a data set folder, checked against its manifest. Raises DataError."""
    manifest = manifest or load_manifest(folder)
    try:
        payload = (folder / INDEX_NAME).read_bytes()
    except FileNotFoundError as error:
        raise _bad("is missing") from error
    if hashlib.sha256(payload).hexdigest() != manifest.index_sha256:
        raise _bad("does not match the manifest", code="DATA_CHECKSUM")
    try:
        index = _from_table(pq.read_table(arrow_reader(payload), use_threads=False), manifest)
    except (pa.ArrowException, KeyError) as error:
        raise _bad(f"cannot be read: {error}") from error
    _check(index, manifest)
    return index


def _from_table(table: pa.Table, manifest: Manifest) -> Index:
    def integers(name: str) -> np.ndarray:
        return table.column(name).to_numpy().astype(np.int64)

    def texts(name: str) -> np.ndarray:
        return np.array(table.column(name).to_pylist(), np.str_)

    def positions(stream: str) -> StreamColumns:
        return StreamColumns(*(integers(f"{stream}.{column}") for column in ("offset", "size", "crc32")))

    return Index(
        key=texts("key"),
        shard=integers("shard"),
        record=integers("record"),
        window=integers("window"),
        start_ns=integers("start_ns"),
        end_ns=integers("end_ns"),
        split=texts("split"),
        streams={name: positions(name) for name in manifest.streams},
        groups={name: texts(f"group.{name}") for name in manifest.groups},
        classes={name: integers(f"label.{name}") for name in manifest.labels},
        step_labels={name: positions(name) for name in manifest.step_labels},
    )


def _check(index: Index, manifest: Manifest) -> None:
    """Everything that reading trusts: shard numbers, and payloads inside their shards."""
    shards = manifest.shards
    if len(index) != manifest.num_samples or sum(shard.count for shard in shards) != len(index):
        raise _bad(f"has {len(index)} rows, the manifest {manifest.num_samples} samples")
    if index.shard.min() < 0 or index.shard.max() >= len(shards):
        raise _bad("names shards that the manifest lacks")
    shard_bytes = np.array([shard.bytes for shard in shards])[index.shard]
    members = {**index.streams, **index.step_labels}
    for name, stream in members.items():
        inside = (stream.offset >= 0) & (stream.size <= shard_bytes) & (stream.offset <= shard_bytes - stream.size)
        if not (inside | (stream.size == -1)).all() or (stream.size < -1).any():
            raise _bad(f"has payloads of {name} outside their shards")
    payloads = [np.bincount(index.shard, np.maximum(each.size, 0), len(shards)) for each in members.values()]
    # Overlapping payloads would let a batch ask for more memory than there are bytes.
    if (np.sum(payloads, axis=0) > np.array([shard.bytes for shard in shards])).any():
        raise _bad("has payloads that overlap")
    for name, classes in index.classes.items():
        if classes.min() < -1 or classes.max() >= len(manifest.labels[name]):
            raise _bad(f"has unknown classes of {name}")
    for name, labels in index.step_labels.items():
        if ((labels.size >= 0) & ~index.present(manifest.step_labels[name].stream)).any():
            raise _bad(f"has {name} of samples without its stream")


def _bad(problem: str, *, code: str = "DATA_INDEX") -> DataError:
    return DataError(f"{INDEX_NAME} {problem}", code=code, field=INDEX_NAME, fix="restore the data set or ingest again")
