"""One foreign archive as a unit of an ingest: its samples are checked and located, its bytes stay where they are."""

import hashlib
import os
import zlib
from collections.abc import Mapping
from pathlib import Path

from modalities.spec import Codec, SignalError
from pipeline.data.bad_sample import bad_sample
from pipeline.data.description import Description
from pipeline.data.foreign_tar import ForeignArchive
from pipeline.data.manifest import ShardEntry
from pipeline.data.member_source import MemberSource
from pipeline.data.raw_files import resolve_inside
from pipeline.data.records import Record
from pipeline.data.shards import shard_name
from pipeline.data.timestamps import parse_time
from pipeline.data.unit_result import BadRecords, UnitHeader, UnitRows, content_digest
from pipeline.data.ustar import Member
from pipeline.data.webdataset_records import WebdatasetRecords
from pipeline.data.work_units import Unit
from pipeline.errors import ConfigError, DataError, KindredError, Problems


def check_suffixes(description: Description, codecs: Mapping[str, Codec]) -> None:
    """Raises Problems for streams whose members have another file extension than the stream's codec stores."""
    problems: list[KindredError] = [
        ConfigError(
            f"stream {name}: its codec does not read .{extension}",
            code="CONFIG_STREAM",
            field=f"streams.{name}.suffix",
            expected=list(codecs[name].extensions),
            got=source.suffix,
            fix="only these formats are read; convert the members, or leave the stream out",
        )
        for name, source in members_of(description).items()
        if (extension := source.suffix.rpartition(".")[2].casefold()) not in codecs[name].extensions
    ]
    if problems:
        raise Problems(problems)


def members_of(description: Description) -> dict[str, MemberSource]:
    """The streams that lie in foreign archives."""
    return {name: source for name, source in description.streams.items() if isinstance(source, MemberSource)}


def index_archive(
    description: Description, root: Path, codecs: Mapping[str, Codec], shards: Path, unit: Unit
) -> tuple[UnitHeader, UnitRows]:
    """Locate and check the samples of the unit's archive, and link it into `shards`."""
    assert isinstance(description.records, WebdatasetRecords)  # noqa: S101 - only such records come here
    sources = members_of(description)
    rows, bad, count = UnitRows(list(sources)), BadRecords(), 0
    shard = unit.records[0].row["shard"]
    path = resolve_inside(root, shard)
    with ForeignArchive(path, shard) as archive:
        samples = description.records.samples(archive, [source.suffix for source in sources.values()])
        for record in unit.records:
            members, problems = samples.get(record.row["key"], {}), list[KindredError]()
            found = {name: members[s.suffix] for name, s in sources.items() if s.suffix in members}
            missing = [name for name, s in sources.items() if name not in found and not s.optional]
            problems += [_missing(record, name, sources[name]) for name in missing]
            payloads = _payloads(archive, found, codecs, record=record, problems=problems)
            times = _times(description, record, problems)
            if problems or not found:
                bad.add(record.key, problems or [_missing(record, next(iter(sources)), None)])
                continue
            count += 1
            places = {n: (m.offset, m.size, zlib.crc32(payloads[n])) for n, m in found.items()}
            rows.add(record.key, content_digest(payloads), places, shard=0, record=record.number, window=0, **times)
        digest = hashlib.sha256()
        for chunk in archive.chunks():
            digest.update(chunk)
    name = shard_name(unit.number)
    entry = ShardEntry(name=name, bytes=archive.bytes, count=count, sha256=digest.hexdigest()) if count else None
    if entry is not None:
        _link(shards / name, path)
    header = UnitHeader(
        sha256=unit.sha256,
        shards=() if entry is None else (entry,),
        num_records=len(unit.records),
        num_dropped_windows=0,
        bad_records=tuple(bad.found),
        num_more_problems=bad.num_more,
    )
    return header, rows


def _payloads(
    archive: ForeignArchive,
    found: Mapping[str, Member],
    codecs: Mapping[str, Codec],
    *,
    record: Record,
    problems: list[KindredError],
) -> dict[str, bytes]:
    """The payloads that their codecs accept; complaints go to `problems`."""
    payloads: dict[str, bytes] = {}
    for name, member in found.items():
        try:
            payloads[name] = archive.read(member)
            codecs[name].check(payloads[name])
        except SignalError as error:
            error.fix = error.fix or "archives are read as they are: convert the members, or ingest the raw files"
            problems.append(bad_sample(error, key=record.key, field=name, shard=archive.shard, offset=member.offset))
        except DataError as error:
            error.key, error.field = record.key, name
            problems.append(error)
    return payloads


def _times(description: Description, record: Record, problems: list[KindredError]) -> dict[str, int]:
    start = -1
    if description.start is not None and (cell := record.row[description.start.column]):
        try:
            start = parse_time(cell, description.start.unit)
        except DataError as error:
            error.key, error.field = record.key, "start"
            problems.append(error)
    return {"start_ns": start, "end_ns": start}


def _missing(record: Record, stream: str, source: MemberSource | None) -> DataError:
    return DataError(
        "the sample has no stream at all" if source is None else f"the sample has no .{source.suffix}",
        code="DATA_MISSING_MODALITY",
        shard=record.row["shard"],
        key=record.key,
        field=stream,
        fix="declare the stream with optional: true where that is normal",
    )


def _link(link: Path, target: Path) -> None:
    """A relative link, made anew: data set and archives may move together."""
    temporary = link.with_name(f".{link.name}.tmp")
    temporary.unlink(missing_ok=True)
    temporary.symlink_to(os.path.relpath(target, link.parent.resolve()))
    temporary.replace(link)
