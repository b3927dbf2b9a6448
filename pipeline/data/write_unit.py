"""One unit of an ingest, from its records to shards and a result file: a pure function, for any process, any time."""

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeAlias

from modalities.spec import Codec
from pipeline.data.description import Description
from pipeline.data.durable import flush_folder
from pipeline.data.encode_record import EncodedSample, RecordEncoder
from pipeline.data.file_source import RawData
from pipeline.data.index_archive import index_archive
from pipeline.data.manifest import stream_folder
from pipeline.data.records import Record
from pipeline.data.shards import ShardWriter
from pipeline.data.step_codec import StepCodec
from pipeline.data.unit_result import BadRecords, UnitHeader, UnitRows, content_digest, result_name, write_result
from pipeline.data.work_units import Unit

WRITERS_LOCK = "writers.lock"

CodecFactory: TypeAlias = Callable[[str, Path], Codec]
"""(stream, folder of its fitted files) -> codec; called before the files exist, to encode, and again after."""


@dataclass(frozen=True)
class Stage:
    """Two folders of an ingest that is under way. data: becomes the data set; units: results of finished units."""

    data: Path
    units: Path

    @property
    def shards(self) -> Path:
        """Where shards are written."""
        return self.data / "shards"

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Held by every writer: who cleans the stage up waits until a killed ingest's last worker is gone."""
        with (self.units / WRITERS_LOCK).open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)
            yield


@dataclass(frozen=True)
class UnitWriter:
    """Unit -> number of its records, when its shards and then its result are on the disk.

    Picklable; where it runs, it reads `data.root` and writes below `stage`. Bad records are part of the result.
    """

    description: Description
    data: RawData
    make_codec: CodecFactory
    stage: Stage

    def __call__(self, unit: Unit) -> int:
        with self.stage.writing():
            write = self._index if self.description.in_place else self._encode
            header, rows = write(unit)
            flush_folder(self.stage.shards)
            write_result(self.stage.units / result_name(unit.number), header, rows.table())
        return len(unit.records)

    @cached_property
    def codecs(self) -> dict[str, Codec]:
        """Codecs without fitted files."""
        return {n: self.make_codec(n, stream_folder(self.stage.data, n)) for n in self.description.streams}

    def __getstate__(self) -> dict[str, object]:
        return {name: value for name, value in self.__dict__.items() if name != "codecs"}

    def _encode(self, unit: Unit) -> tuple[UnitHeader, UnitRows]:
        encode = RecordEncoder(self.description, self.data, self.codecs)
        bad, samples, num_dropped = BadRecords(), list[tuple[EncodedSample, Record, bytes]](), 0
        with ShardWriter(self.stage.shards, unit.number, int(self.description.shard_mib * (1 << 20))) as shards:
            for record in unit.records:
                encoded = encode(record)
                if encoded.problems:
                    bad.add(record.key, encoded.problems)
                    continue
                num_dropped += encoded.num_dropped_windows
                for sample in encoded.samples:
                    payloads = {**sample.payloads, **sample.steps}
                    members = {self._extension(name): payload for name, payload in payloads.items()}
                    shards.add(sample.key, members | {"meta.json": self._meta(sample, record)})
                    samples.append((sample.without_payloads(), record, content_digest(sample.payloads)))
        names = [*self.description.streams, *self.description.step_labels]
        rows = UnitRows(names)
        for (sample, record, digest), places in zip(samples, shards.payloads, strict=True):
            found = {
                name: (place.offset, place.size, place.crc32)
                for name in names
                if (place := places.get(self._extension(name))) is not None
            }
            times = {"window": sample.window, "start_ns": sample.start_ns, "end_ns": sample.end_ns}
            shard = places["meta.json"].shard
            rows.add(sample.key, digest, found, shard=shard, record=record.number, **times)
        header = UnitHeader(
            sha256=unit.sha256,
            shards=tuple(shards.entries),
            num_records=len(unit.records),
            num_dropped_windows=num_dropped,
            bad_records=tuple(bad.found),
            num_more_problems=bad.num_more,
        )
        return header, rows

    def _index(self, unit: Unit) -> tuple[UnitHeader, UnitRows]:
        return index_archive(self.description, self.data.root, self.codecs, self.stage.shards, unit)

    def _extension(self, stream: str) -> str:
        known = StepCodec.extensions if stream in self.description.step_labels else self.codecs[stream].extensions
        return f"{stream}.{known[0]}"

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
