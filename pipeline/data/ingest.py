"""Raw files -> data set folder: all records checked in one pass, written beside the target and renamed when whole."""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

from pydantic import JsonValue

from modalities.spec import Codec, SignalError
from pipeline.data.bad_sample import bad_sample
from pipeline.data.dataset_writer import DatasetWriter
from pipeline.data.description import Description
from pipeline.data.encode_record import EncodedRecord, RecordEncoder
from pipeline.data.file_source import RawData
from pipeline.data.findings import Findings
from pipeline.data.index import Index, index_bytes
from pipeline.data.labels import class_names, class_values
from pipeline.data.manifest import (
    FORMAT_VERSION,
    INDEX_NAME,
    MANIFEST_NAME,
    Manifest,
    SplitEntry,
    StreamEntry,
    stream_folder,
)
from pipeline.data.record_table import load_records
from pipeline.data.records import Record
from pipeline.data.schemas import check_schemas
from pipeline.data.shards import write_durably
from pipeline.data.split import SPLITS, SplitName, check_counts, split_records
from pipeline.data.staging import Origin, existing, raw_digest, staged
from pipeline.errors import DataError

Progress: TypeAlias = Callable[[int, int], None]
"""Called with (records done, all records)."""

RecordMap: TypeAlias = Callable[[RecordEncoder, Iterable[Record]], Iterator[EncodedRecord]]
"""Applies the encoder to every record, results in order, like the built-in map; it may work in parallel."""

CodecFactory: TypeAlias = Callable[[str, Path], Codec]
"""(stream, folder of its fitted files) -> codec; called before the files exist, to encode, and again after."""

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
    map_records: RecordMap = map,
) -> Manifest:
    """Write the data set `out` from the raw files below `root`; a finished one of the same origin is returned as it is.

    schemas: stream -> schema as JSON, with its `kind`; this package does not know kinds of signals.
    Raises Problems naming every bad record at once (DataError, LeakError, SecurityError), or every stream whose source
    and schema disagree (ConfigError); OutputError, StorageError.
    """
    check_schemas(description, schemas)
    records, rejected = load_records(description, root)
    origin = Origin(_decision_hash(description, schemas), raw_digest(description, records, root))
    if (manifest := existing(out, origin)) is not None:
        return manifest
    findings = Findings(description.policy)
    for row in rejected:
        findings.add_record(f"row:{row.number}", [row.problem])
    splits = _splits(description, records, findings)
    with staged(out) as folder:
        codecs = {name: make_codec(name, stream_folder(folder, name)) for name in schemas}
        with DatasetWriter(description, codecs, folder) as writer:
            encoded = map_records(RecordEncoder(description, RawData(root), codecs), records)
            _write_records(encoded, splits, writer, findings=findings, progress=progress)
        _refuse(description, writer, findings)
        manifest = _finish(writer, folder, schemas=schemas, make_codec=make_codec, quarantined=findings.quarantined)
        write_durably(folder / QUARANTINE_NAME, json.dumps(findings.report(), indent=1).encode())
        origin.write(folder)
        write_durably(folder / MANIFEST_NAME, manifest.to_text().encode())
    if findings.quarantined:
        _log.warning("%d records quarantined, see %s", len(findings.quarantined), out / QUARANTINE_NAME)
    return manifest


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


def _write_records(
    encoded: Iterable[EncodedRecord],
    splits: Sequence[SplitName],
    writer: DatasetWriter,
    *,
    findings: Findings,
    progress: Progress | None,
) -> None:
    for done, (result, split) in enumerate(zip(encoded, splits, strict=True), start=1):
        if result.problems:
            findings.add_record(result.record.key, result.problems)
        else:
            writer.add(result, split)
        if progress is not None:
            progress(done, len(splits))


def _refuse(description: Description, writer: DatasetWriter, findings: Findings) -> None:
    """Raises Problems for everything found so far that the policy does not tolerate."""
    for leak in writer.leaks:
        findings.add_fatal(leak)
    findings.refuse()
    check_counts(description.split, writer.counts())


def _finish(
    writer: DatasetWriter,
    folder: Path,
    *,
    schemas: Mapping[str, Mapping[str, JsonValue]],
    make_codec: CodecFactory,
    quarantined: Sequence[str],
) -> Manifest:
    """Fit codecs and measure statistics on the training samples, write the index, return the manifest."""
    index, description = writer.index(), writer.description
    payload = index_bytes(index)
    write_durably(folder / INDEX_NAME, payload)
    return Manifest(
        name=description.name,
        streams={name: _entry(name, schema, writer, index, make_codec=make_codec) for name, schema in schemas.items()},
        shards=tuple(writer.shards.entries),
        index_sha256=hashlib.sha256(payload).hexdigest(),
        num_samples=len(index),
        num_records=writer.num_records(),
        num_dropped_windows=writer.num_dropped_windows,
        groups=tuple(description.groups),
        labels=writer.class_names(),
        split=SplitEntry(rule=description.split.model_dump(mode="json"), counts=writer.counts()),
        quarantine=tuple(quarantined),
    )


def _entry(
    name: str, schema: Mapping[str, JsonValue], writer: DatasetWriter, index: Index, *, make_codec: CodecFactory
) -> StreamEntry:
    own, files = stream_folder(writer.folder, name), {}
    try:
        for file, payload in writer.codecs[name].fit(writer.train_payloads(name)).items():
            own.mkdir(parents=True, exist_ok=True)
            write_durably(own / file, payload)
            files[(own / file).relative_to(writer.folder).as_posix()] = hashlib.sha256(payload).hexdigest()
        statistics = make_codec(name, own).statistics(writer.train_payloads(name))
    except SignalError as error:
        raise bad_sample(error, key="(training samples)", field=name) from error
    count = int(index.present(name).sum())
    return StreamEntry(kind=str(schema["kind"]), schema=dict(schema), statistics=statistics, files=files, count=count)
