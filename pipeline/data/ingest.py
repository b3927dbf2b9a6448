"""Raw files -> data set folder: all records checked in one pass, written beside the target and renamed when whole."""

import hashlib
import io
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue

from modalities.spec import SignalError
from pipeline.data.bad_sample import bad_sample
from pipeline.data.description import Description
from pipeline.data.durable import write_durably
from pipeline.data.file_source import RawData
from pipeline.data.findings import Findings
from pipeline.data.index import index_bytes
from pipeline.data.index_archive import check_suffixes
from pipeline.data.labels import class_names, class_values
from pipeline.data.manifest import (
    FORMAT_VERSION,
    INDEX_NAME,
    MANIFEST_NAME,
    ORIGINALS_NAME,
    Manifest,
    SplitEntry,
    StepLabelEntry,
    StreamEntry,
    stream_folder,
)
from pipeline.data.merge import Merged, merge_units
from pipeline.data.record_table import load_records
from pipeline.data.records import Record
from pipeline.data.schemas import check_schemas
from pipeline.data.split import SPLITS, SplitName, check_counts, split_records
from pipeline.data.staging import Origin, existing, raw_digest, staged, unfinished
from pipeline.data.work_units import Unit, file_stat, plan_units
from pipeline.data.write_unit import CodecFactory, UnitWriter
from pipeline.errors import DataError

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (records done, all records): at the start, and after every unit."""

UnitMap: TypeAlias = Callable[[UnitWriter, Iterable[Unit]], Iterator[int]]
"""Applies the writer to every unit and yields its results in any order, like the built-in map or in parallel."""

QUARANTINE_NAME = "quarantine.json"

_log = logging.getLogger(__name__)


def ingest(
    description: Description,
    root: Path,
    out: Path,
    *,
    schemas: Mapping[str, Mapping[str, JsonValue]],
    make_codec: CodecFactory,
    progress: Progress | None = None,
    map_units: UnitMap = map,
) -> Manifest:
    """Write the data set `out` from the raw files below `root`; a finished one of the same origin is returned as it is.

    The bytes do not depend on `map_units`, nor on kills and restarts: finished units of an earlier try are kept.
    schemas: stream -> schema as JSON, with its `kind`; this package does not know kinds of signals.
    Raises Problems naming every bad record at once (DataError, LeakError, SecurityError), or every stream whose source
    and schema disagree (ConfigError); OutputError, StorageError.
    """
    check_schemas(description, schemas)
    records, rejected = load_records(description, root)
    decision = _decision_hash(description, schemas)
    units = plan_units(description, records, root, decision=decision)
    tables = [file_stat(root, name) for name in description.records.files(root)]
    origin = Origin(decision, raw_digest(tables, units))
    if (manifest := existing(out, origin)) is not None:
        return manifest
    findings = Findings(description.policy)
    for row in rejected:
        findings.add_record(f"row:{row.number}", [row.problem])
    splits = _splits(description, records, findings)
    with staged(out) as stage:
        todo = unfinished(stage, units)
        write = UnitWriter(description, RawData(root.resolve()), make_codec, stage)
        check_suffixes(description, write.codecs)
        _write(todo, map_units(write, todo), num_records=len(records), progress=progress)
        merged = merge_units(description, stage, units, records=records, splits=splits, findings=findings)
        _refuse(merged, findings)
        manifest = _finish(merged, schemas=schemas, make_codec=make_codec, quarantined=findings.quarantined)
        if description.in_place:
            write_durably(stage.data / ORIGINALS_NAME, _originals(merged, records))
        write_durably(stage.data / QUARANTINE_NAME, json.dumps(findings.report(), indent=1).encode())
        origin.write(stage.data)
        write_durably(stage.data / MANIFEST_NAME, manifest.to_text().encode())
    if findings.quarantined:
        _log.warning("%d records quarantined, see %s", len(findings.quarantined), out / QUARANTINE_NAME)
    return manifest


def _write(todo: Sequence[Unit], results: Iterable[int], *, num_records: int, progress: Progress | None) -> None:
    done = num_records - sum(len(unit.records) for unit in todo)
    if progress is not None:
        progress(done, num_records)
    for count in results:
        done += count
        if progress is not None:
            progress(done, num_records)


def _decision_hash(description: Description, schemas: Mapping[str, Mapping[str, JsonValue]]) -> str:
    """Hash of everything that decides what is written, apart from the raw files."""
    document = [FORMAT_VERSION, description.sha256(), {name: dict(schema) for name, schema in schemas.items()}]
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _splits(description: Description, records: Sequence[Record], findings: Findings) -> list[SplitName]:
    """The split of every record; problems do not stop the check of the records."""
    for label in description.labels.values():
        try:
            class_names(label, class_values([record.row[label.column] for record in records]))
        except DataError as error:
            findings.add_fatal(error)
    try:
        splits = split_records(description.split, records)
        check_counts(description.split, {name: splits.count(name) for name in SPLITS})
    except DataError as error:
        findings.add_fatal(error)
        return ["train"] * len(records)
    return splits


def _refuse(merged: Merged, findings: Findings) -> None:
    """Raises Problems for everything found so far that the policy does not tolerate."""
    if not merged.description.allow_duplicates:
        for leak in merged.leaks():
            findings.add_fatal(leak)
    findings.refuse()
    check_counts(merged.description.split, merged.counts())


def _originals(merged: Merged, records: Sequence[Record]) -> bytes:
    """Which member of which foreign archive each sample is."""
    rows = {record.number: record.row for record in records}
    found = [rows[number] for number in merged.index.record.tolist()]
    columns = {"key": merged.index.key.tolist()}
    columns |= {f"original_{name}": [row[name] for row in found] for name in ("key", "shard")}
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer)
    return buffer.getvalue()


def _finish(
    merged: Merged,
    *,
    schemas: Mapping[str, Mapping[str, JsonValue]],
    make_codec: CodecFactory,
    quarantined: Sequence[str],
) -> Manifest:
    """Fit codecs and measure statistics on the training samples, write the index, return the manifest."""
    description = merged.description
    payload = index_bytes(merged.index)
    write_durably(merged.folder / INDEX_NAME, payload)
    return Manifest(
        name=description.name,
        streams={name: _entry(name, schema, merged, make_codec=make_codec) for name, schema in schemas.items()},
        shards=merged.entries,
        index_sha256=hashlib.sha256(payload).hexdigest(),
        num_samples=len(merged.index),
        num_records=merged.num_records(),
        num_dropped_windows=merged.num_dropped_windows,
        groups=tuple(description.groups),
        labels=merged.class_names(),
        step_labels=_step_labels(merged),
        split=SplitEntry(rule=_split_rule(description), counts=merged.counts()),
        quarantine=tuple(quarantined),
    )


def _step_labels(merged: Merged) -> dict[str, StepLabelEntry]:
    columns = merged.index.step_labels
    return {
        name: StepLabelEntry(stream=label.stream, classes=label.class_names, count=int((columns[name].size >= 0).sum()))
        for name, label in merged.description.step_labels.items()
    }


def _split_rule(description: Description) -> dict[str, JsonValue]:
    """The split section, and what verify must know of it: an exception that was allowed."""
    exceptions = {"allow_duplicates": True} if description.allow_duplicates else {}
    return description.split.model_dump(mode="json") | exceptions


def _entry(name: str, schema: Mapping[str, JsonValue], merged: Merged, *, make_codec: CodecFactory) -> StreamEntry:
    own, files = stream_folder(merged.folder, name), {}
    try:
        for file, payload in make_codec(name, own).fit(merged.train_payloads(name)).items():
            own.mkdir(parents=True, exist_ok=True)
            write_durably(own / file, payload)
            files[(own / file).relative_to(merged.folder).as_posix()] = hashlib.sha256(payload).hexdigest()
        statistics = make_codec(name, own).statistics(merged.train_payloads(name))
    except SignalError as error:
        raise bad_sample(error, key="(training samples)", field=name) from error
    count = int(merged.index.present(name).sum())
    return StreamEntry(kind=str(schema["kind"]), schema=dict(schema), statistics=statistics, files=files, count=count)
