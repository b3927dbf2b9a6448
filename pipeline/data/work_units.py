"""Fixed pieces of an ingest: runs of records whose samples fill shards of their own, whoever writes them and when."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from pipeline.data.description import Description
from pipeline.data.raw_files import resolve_inside
from pipeline.data.records import Record
from pipeline.errors import SecurityError

_SHARE = 8
"""A small data set is cut into about this many units, so that several processes have work."""
_RECORDS = (128, 4096)
_RECORDINGS = (8, 256)
"""Fewest and most records of a unit; recordings that are cut into windows are more work each."""


@dataclass(frozen=True)
class Unit:
    """A contiguous run of records. sha256: of everything that decides what it gives, see `plan_units`."""

    number: int
    records: tuple[Record, ...]
    sha256: str


def plan_units(description: Description, records: Sequence[Record], root: Path, *, decision: str) -> list[Unit]:
    """All units in order. A foreign archive is one unit; other records are cut by count.

    The rule reads the description and the table alone. `decision` is the hash of description and schemas; a unit's own
    hash adds its rows, and names, sizes and times of the raw files that they name.
    """
    return [
        Unit(number, run, _sha256(decision, description, run, root))
        for number, run in enumerate(_runs(description, records))
    ]


def _runs(description: Description, records: Sequence[Record]) -> Iterator[tuple[Record, ...]]:
    if description.in_place:
        for _, run in groupby(records, lambda record: record.row["shard"]):
            yield tuple(run)
        return
    size = description.unit_records or _default_size(description, len(records))
    for start in range(0, len(records), size):
        yield tuple(records[start : start + size])


def _default_size(description: Description, num_records: int) -> int:
    fewest, most = _RECORDS if description.window is None else _RECORDINGS
    return min(max(fewest, -(-num_records // _SHARE)), most)


def _sha256(decision: str, description: Description, records: Sequence[Record], root: Path) -> str:
    rows = [[record.number, record.key, dict(record.row)] for record in records]
    sources = [*description.streams.values(), *description.step_sources().values()]
    names = {name for r in records for source in sources for name in source.files(r)}
    document = [decision, rows, [file_stat(root, name) for name in sorted(names)]]
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def file_stat(root: Path, name: str) -> tuple[str, int, int]:
    """(name, size, modification time in ns), -1 where there is no such file below root."""
    try:
        stat = resolve_inside(root, name).stat()
    except (OSError, SecurityError):  # reported with its record when it is read
        return name, -1, -1
    return name, stat.st_size, stat.st_mtime_ns
