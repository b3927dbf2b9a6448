"""Results of all units -> one index, and the checks that need every sample at once. Payloads stay on the disk."""

import os
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.data.description import Description
from pipeline.data.findings import Findings
from pipeline.data.index import Index, StreamColumns
from pipeline.data.labels import class_names, class_values
from pipeline.data.manifest import ShardEntry
from pipeline.data.records import Record
from pipeline.data.split import SPLITS, SplitName
from pipeline.data.unit_result import UnitHeader, read_result, result_name
from pipeline.data.work_units import Unit
from pipeline.data.write_unit import Stage
from pipeline.errors import DataError, LeakError, StorageError


@dataclass(frozen=True)
class Merged:
    """All samples in the order of units. digests (N, 2) int64: hash of each sample's content."""

    folder: Path
    description: Description
    entries: tuple[ShardEntry, ...]
    index: Index
    digests: np.ndarray
    class_values: Mapping[str, list[str]]
    num_dropped_windows: int

    def class_names(self) -> dict[str, tuple[str, ...]]:
        """Class names of every label column, in class order. Raises DataError."""
        return {name: class_names(self.description.labels[name], values) for name, values in self.class_values.items()}

    def counts(self) -> dict[SplitName, int]:
        """Samples of each split."""
        return {name: int((self.index.split == name).sum()) for name in SPLITS}

    def num_records(self) -> int:
        """Records that gave a sample."""
        return len(np.unique(self.index.record))

    def train_payloads(self, stream: str) -> Iterator[bytes]:
        """Stored payloads of the training samples that have the stream, read back from the shards one by one."""
        columns, shard = self.index.stream(stream), self.index.shard
        rows = np.flatnonzero((self.index.split == "train") & (columns.size >= 0))
        for run in np.split(rows, np.flatnonzero(np.diff(shard[rows])) + 1) if len(rows) else []:
            entry = self.entries[shard[run[0]]]
            with (self.folder / "shards" / entry.name).open("rb") as file:
                for i in run.tolist():
                    payload = os.pread(file.fileno(), int(columns.size[i]), int(columns.offset[i]))
                    if zlib.crc32(payload) != columns.crc32[i]:
                        raise DataError(
                            "a shard has changed during the ingest",
                            code="DATA_CHANGED",
                            shard=entry.name,
                            key=str(self.index.key[i]),
                            field=stream,
                            fix="check the disk, delete the partial folder and ingest again",
                        )
                    yield payload

    def leaks(self) -> Iterator[LeakError]:
        """Samples whose content was seen before in another split, in order."""
        order = np.lexsort((self.digests[:, 1], self.digests[:, 0]))  # stable: equal contents stay in sample order
        ordered = self.digests[order]
        starts = np.flatnonzero(np.r_[True, (ordered[1:] != ordered[:-1]).any(axis=1)][: len(ordered)])
        first = np.empty(len(order), np.int64)
        first[order] = np.repeat(order[starts], np.diff(np.r_[starts, len(order)]))
        index = self.index
        for i in np.flatnonzero(index.split != index.split[first]).tolist():
            key, other = str(index.key[i]), str(index.key[first[i]])
            yield LeakError(
                f"samples {other} ({index.split[first[i]]}) and {key} ({index.split[i]}) have the same content",
                code="LEAK_CONTENT",
                key=key,
                got=[other, key],
                fix="remove one of them, or set allow_duplicates: true where equal samples are normal",
            )


def merge_units(
    description: Description,
    stage: Stage,
    units: Sequence[Unit],
    *,
    records: Sequence[Record],
    splits: Sequence[SplitName],
    findings: Findings,
) -> Merged:
    """Read the results of all units, which must be there, in their order; bad records go to `findings`."""
    entries: list[ShardEntry] = []
    tables: list[pa.Table] = []
    num_dropped = 0
    for unit in units:
        header, table = _result(stage, unit)
        shard = table.column("shard").to_numpy() + len(entries)
        tables.append(
            table.replace_schema_metadata(None).set_column(table.column_names.index("shard"), "shard", pa.array(shard))
        )
        entries += header.shards
        num_dropped += header.num_dropped_windows
        for bad in header.bad_records:
            findings.add_record(bad.name, bad.errors())
        findings.add_uncounted(header.num_more_problems)
    table = pa.concat_tables(tables)
    row_of = np.searchsorted([record.number for record in records], _integers(table, "record"))
    classes = {name: _classes(records, label.column, row_of) for name, label in description.labels.items()}
    return Merged(
        folder=stage.data,
        description=description,
        entries=tuple(entries),
        index=_index(table, description, records=records, splits=splits, row_of=row_of, classes=classes),
        digests=np.stack([_integers(table, "digest_0"), _integers(table, "digest_1")], axis=1),
        class_values={name: values for name, (values, _) in classes.items()},
        num_dropped_windows=num_dropped,
    )


def _result(stage: Stage, unit: Unit) -> tuple[UnitHeader, pa.Table]:
    result = read_result(stage.units / result_name(unit.number), sha256=unit.sha256, shards=stage.shards)
    if result is None:
        raise StorageError(
            f"the result of unit {unit.number} has disappeared",
            code="STORAGE_UNIT",
            got=str(stage.units),
            fix="all workers need the same folder; type the same command again",
        )
    return result


def _index(
    table: pa.Table,
    description: Description,
    *,
    records: Sequence[Record],
    splits: Sequence[SplitName],
    row_of: np.ndarray,
    classes: Mapping[str, tuple[list[str], np.ndarray]],
) -> Index:
    def stream(name: str) -> StreamColumns:
        return StreamColumns(*(_integers(table, f"{name}.{column}") for column in ("offset", "size", "crc32")))

    return Index(
        key=np.array(table.column("key").to_pylist(), np.str_),
        **{name: _integers(table, name) for name in ("shard", "record", "window", "start_ns", "end_ns")},
        split=np.array(splits, np.str_)[row_of],
        streams={name: stream(name) for name in description.streams},
        groups={n: np.array([r.row[c] for r in records], np.str_)[row_of] for n, c in description.groups.items()},
        classes={name: numbers for name, (_, numbers) in classes.items()},
        step_labels={name: stream(name) for name in description.step_labels},
    )


def _classes(records: Sequence[Record], column: str, row_of: np.ndarray) -> tuple[list[str], np.ndarray]:
    """Values in class order, and class numbers (N,); values of records without samples give no class."""
    cells = [record.row[column] for record in records]
    values = class_values([cells[row] for row in np.unique(row_of).tolist()])
    numbers = {value: number for number, value in enumerate(values)}
    return values, np.array([numbers.get(cell, -1) for cell in cells], np.int64)[row_of]


def _integers(table: pa.Table, name: str) -> np.ndarray:
    return table.column(name).to_numpy().astype(np.int64)
