"""What one unit of an ingest gave, in one small file beside its shards: it is whole, or it does not exist."""

import hashlib
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import JsonValue, TypeAdapter, ValidationError

from modalities.spec import Config
from pipeline.data.arrow_reader import arrow_reader
from pipeline.data.durable import write_durably
from pipeline.data.findings import MAX_PROBLEMS
from pipeline.data.manifest import Sha256, ShardEntry
from pipeline.errors import DataError, KindredError, SecurityError

_HEADER = b"kindred"
_ERRORS: dict[str, type[KindredError]] = {"DataError": DataError, "SecurityError": SecurityError}


class BadRecord(Config):
    """Problems of one record, as JSON."""

    name: str
    """Key of the record."""
    problems: tuple[tuple[str, dict[str, JsonValue]], ...]
    """Class and fields of each error; those above the limit of one unit are only counted."""

    def errors(self) -> list[KindredError]:
        """The problems as errors again."""
        return [_ERRORS[kind](**fields) for kind, fields in self.problems]  # pyright: ignore[reportArgumentType] - as stored


class UnitHeader(Config):
    """The part of a unit's result that is not per sample."""

    sha256: Sha256
    """Of the unit that gave it."""
    shards: tuple[ShardEntry, ...]
    """Its shards, in order."""
    num_records: int
    """Records it looked at."""
    num_dropped_windows: int
    """Windows left out because a required stream does not cover them."""
    bad_records: tuple[BadRecord, ...]
    """Records with problems, in order."""
    num_more_problems: int
    """Problems above the limit."""


@dataclass
class UnitRows:
    """One row per sample of a unit, column by column.

    shard: number within the unit; record: number of the raw record; digest_0, digest_1: hash of the content.
    Streams add <stream>.offset, .size (-1 where absent) and .crc32.
    """

    streams: Sequence[str]
    columns: dict[str, list[str] | list[int]] = field(default_factory=dict)

    def add(self, key: str, digest: bytes, places: Mapping[str, Sequence[int]], **integers: int) -> None:
        """One sample. places: stream -> (offset, size, crc32); integers: shard, record, window, start_ns, end_ns."""
        row: dict[str, str | int] = {"key": key, **integers}
        row |= {f"digest_{i}": int.from_bytes(digest[8 * i : 8 * i + 8], "little", signed=True) for i in range(2)}
        for stream in self.streams:
            offset, size, crc32 = places.get(stream, (0, -1, 0))
            row |= {f"{stream}.offset": offset, f"{stream}.size": size, f"{stream}.crc32": crc32}
        for name, value in row.items():
            self.columns.setdefault(name, []).append(value)  # pyright: ignore[reportArgumentType] - one type a column

    def table(self) -> pa.Table:
        """The rows as a table, also when there are none."""
        integers = ["shard", "record", "window", "start_ns", "end_ns", "digest_0", "digest_1"]
        integers += [f"{stream}.{name}" for stream in self.streams for name in ("offset", "size", "crc32")]
        kinds = {"key": pa.string()} | dict.fromkeys(integers, pa.int64())
        return pa.table({name: pa.array(self.columns.get(name, []), kind) for name, kind in kinds.items()})


@dataclass
class BadRecords:
    """Collects the problems of a unit's records up to a limit and counts the rest."""

    found: list[BadRecord] = field(default_factory=list)
    num_kept: int = 0
    num_more: int = 0

    def add(self, name: str, problems: Sequence[KindredError]) -> None:
        """All problems of one record."""
        kept = problems[: MAX_PROBLEMS - self.num_kept]
        self.num_kept, self.num_more = self.num_kept + len(kept), self.num_more + len(problems) - len(kept)
        self.found.append(BadRecord(name=name, problems=tuple((type(p).__name__, _plain(p)) for p in kept)))


def _plain(problem: KindredError) -> dict[str, JsonValue]:
    return TypeAdapter(dict[str, JsonValue]).validate_json(
        TypeAdapter(dict[str, object]).dump_json(problem.record(), fallback=str)
    )


def content_digest(payloads: Mapping[str, bytes | memoryview]) -> bytes:
    """16 bytes that are equal for samples of equal content."""
    digest = hashlib.blake2b(digest_size=16)
    for name, payload in sorted(payloads.items()):
        digest.update(f"{name} {len(payload)} ".encode())
        digest.update(payload)
    return digest.digest()


def result_name(number: int) -> str:
    """File name of a unit's result."""
    return f"unit-{number:05d}.parquet"


def write_result(path: Path, header: UnitHeader, rows: pa.Table) -> None:
    """Store a unit's result; its shards must be on the disk already."""
    metadata = {_HEADER: header.model_dump_json(by_alias=True).encode()}
    buffer = io.BytesIO()
    pq.write_table(rows.replace_schema_metadata(metadata), buffer)
    payload = buffer.getvalue()
    write_durably(path, payload + hashlib.sha256(payload).digest())


def read_result(path: Path, *, sha256: str, shards: Path) -> tuple[UnitHeader, pa.Table] | None:
    """The result of the unit with this hash, or None where it is missing, damaged, of another unit, or lacks shards."""
    try:
        stored = path.read_bytes()
        payload, digest = stored[:-32], stored[-32:]
        if hashlib.sha256(payload).digest() != digest:
            return None
        table = pq.read_table(arrow_reader(payload))
        header = UnitHeader.model_validate_json((table.schema.metadata or {}).get(_HEADER, b""))
    except (FileNotFoundError, pa.ArrowException, ValidationError):
        return None
    whole = all(_has_size(shards / entry.name, entry.bytes) for entry in header.shards)
    return (header, table) if header.sha256 == sha256 and whole else None


def _has_size(path: Path, size: int) -> bool:
    return path.is_file() and path.stat().st_size == size
