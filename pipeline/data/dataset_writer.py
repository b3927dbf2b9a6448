"""Encoded records -> shards and index columns."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from modalities.spec import Codec
from pipeline.data.description import Description
from pipeline.data.encode_record import EncodedRecord, EncodedSample
from pipeline.data.index import Index, StreamColumns
from pipeline.data.labels import class_names, class_values
from pipeline.data.records import Record
from pipeline.data.shards import Payload, ShardWriter
from pipeline.data.split import SPLITS, SplitName
from pipeline.errors import LeakError

_ABSENT = Payload(shard=-1, offset=0, size=-1, crc32=0)


@dataclass(frozen=True)
class _Row:
    sample: EncodedSample
    record: Record
    split: SplitName


@dataclass
class DatasetWriter:
    """Writes samples in the order they come and remembers what the index needs; use as a context manager.

    `leaks` collects samples whose content was seen before in another split.
    """

    description: Description
    codecs: Mapping[str, Codec]
    folder: Path
    num_dropped_windows: int = 0
    leaks: list[LeakError] = field(default_factory=list)
    _rows: list[_Row] = field(default_factory=list)
    _seen: dict[bytes, tuple[str, SplitName]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.shards = ShardWriter(self.folder / "shards", int(self.description.shard_mib * (1 << 20)))

    def __enter__(self) -> "DatasetWriter":
        self.shards.__enter__()
        return self

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        self.shards.__exit__(kind, *rest)

    def add(self, encoded: EncodedRecord, split: SplitName) -> None:
        """Append the samples of one record."""
        self.num_dropped_windows += encoded.num_dropped_windows
        for sample in encoded.samples:
            if not self.description.allow_duplicates:
                self._check_content(sample, split)
            members = {self._extension(name): payload for name, payload in sample.payloads.items()}
            self.shards.add(sample.key, members | {"meta.json": self._meta(sample, encoded.record)})
            self._rows.append(_Row(replace(sample, payloads={}), encoded.record, split))

    def _extension(self, stream: str) -> str:
        return f"{stream}.{self.codecs[stream].extensions[0]}"

    def _meta(self, sample: EncodedSample, record: Record) -> bytes:
        names = self.description
        document = {
            "key": sample.key,
            "record": record.key,
            "window": sample.window,
            "start_ns": sample.start_ns,
            "end_ns": sample.end_ns,
            "groups": {name: record.row[column] for name, column in names.groups.items()},
            "labels": {
                name: label.names.get(record.row[label.column], record.row[label.column])
                for name, label in names.labels.items()
            },
        }
        return json.dumps(document, sort_keys=True, ensure_ascii=False).encode()

    def _check_content(self, sample: EncodedSample, split: SplitName) -> None:
        digest = hashlib.blake2b(digest_size=16)
        for name, payload in sorted(sample.payloads.items()):
            digest.update(f"{name} {len(payload)} ".encode() + payload)
        key, other = self._seen.setdefault(digest.digest(), (sample.key, split))
        if other != split:
            self.leaks.append(
                LeakError(
                    f"samples {key} ({other}) and {sample.key} ({split}) have the same content",
                    code="LEAK_CONTENT",
                    key=sample.key,
                    got=[key, sample.key],
                    fix="remove one of them, or set allow_duplicates: true where equal samples are normal",
                )
            )

    def counts(self) -> dict[SplitName, int]:
        """Samples of each split."""
        return {name: sum(row.split == name for row in self._rows) for name in SPLITS}

    def num_records(self) -> int:
        """Records that gave a sample."""
        return len({row.record.number for row in self._rows})

    def train_payloads(self, stream: str) -> Iterator[bytes]:
        """Stored payloads of the training samples that have the stream, read back from the shards."""
        extension, shards = self._extension(stream), self.folder / "shards"
        for entry, rows in self._rows_by_shard():
            with (shards / entry).open("rb") as file:
                for row, payloads in rows:
                    if row.split == "train" and extension in payloads:
                        place = payloads[extension]
                        yield os.pread(file.fileno(), place.size, place.offset)

    def _rows_by_shard(self) -> Iterator[tuple[str, list[tuple[_Row, dict[str, Payload]]]]]:
        start = 0
        for entry in self.shards.entries:
            end = start + entry.count
            yield entry.name, list(zip(self._rows[start:end], self.shards.payloads[start:end], strict=True))
            start = end

    def class_names(self) -> dict[str, tuple[str, ...]]:
        """Class names of every label column, in class order."""
        return {
            name: class_names(label, self._classes(label.column)) for name, label in self.description.labels.items()
        }

    def _classes(self, column: str) -> list[str]:
        return class_values([row.record.row[column] for row in self._rows])

    def index(self) -> Index:
        """The index columns; complete once the context is left."""
        rows, samples = self._rows, [row.sample for row in self._rows]
        return Index(
            key=np.array([sample.key for sample in samples]),
            shard=_integers([payloads["meta.json"].shard for payloads in self.shards.payloads]),
            record=_integers([row.record.number for row in rows]),
            window=_integers([sample.window for sample in samples]),
            start_ns=_integers([sample.start_ns for sample in samples]),
            end_ns=_integers([sample.end_ns for sample in samples]),
            split=np.array([row.split for row in rows]),
            streams={name: self._positions(name) for name in self.description.streams},
            groups={n: np.array([row.record.row[c] for row in rows]) for n, c in self.description.groups.items()},
            classes={name: self._class_numbers(label.column) for name, label in self.description.labels.items()},
        )

    def _positions(self, stream: str) -> StreamColumns:
        extension = self._extension(stream)
        places = [payloads.get(extension, _ABSENT) for payloads in self.shards.payloads]
        return StreamColumns(
            offset=_integers([place.offset for place in places]),
            size=_integers([place.size for place in places]),
            crc32=_integers([place.crc32 for place in places]),
        )

    def _class_numbers(self, column: str) -> np.ndarray:
        numbers = {value: number for number, value in enumerate(self._classes(column))}
        return _integers([numbers.get(row.record.row[column], -1) for row in self._rows])


def _integers(values: Sequence[int]) -> np.ndarray:
    return np.array(values, np.int64)
