"""The checked table of records: known columns, valid distinct keys."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pipeline.data.description import KEY, MAX_KEY_LENGTH, Description, key_columns
from pipeline.data.index_archive import members_of
from pipeline.data.raw_files import Row, render
from pipeline.data.records import Record
from pipeline.data.webdataset_records import WebdatasetRecords
from pipeline.errors import DataError, KindredError, Problems


@dataclass(frozen=True)
class RejectedRow:
    """A row that cannot become a record."""

    number: int
    problem: DataError


def load_records(description: Description, root: Path) -> tuple[list[Record], list[RejectedRow]]:
    """All records with valid distinct keys, and the other rows. Raises DataError or Problems for an unusable table."""
    rows = _read_rows(description, root)
    if not rows:
        raise DataError(f"{description.records.path} has no records", code="DATA_EMPTY_TABLE")
    _check_columns(description, rows[0])
    accepted: dict[str, Record] = {}
    rejected: list[RejectedRow] = []
    for number, (row, key) in enumerate(zip(rows, _keys(description, rows), strict=True)):
        problem = _key_problem(key, number, row, accepted.get(key.casefold()))
        if problem is None:
            accepted[key.casefold()] = Record(number, key, row)
        else:
            rejected.append(RejectedRow(number, problem))
    return list(accepted.values()), rejected


def _read_rows(description: Description, root: Path) -> list[Row]:
    try:
        if isinstance(description.records, WebdatasetRecords):
            return description.records.rows(root, [source.suffix for source in members_of(description).values()])
        return description.records.rows(root)
    except OSError as error:
        raise DataError(f"cannot read {description.records.path}: {error.strerror}", code="DATA_UNREADABLE") from error


def _check_columns(description: Description, row: Row) -> None:
    problems: list[KindredError] = [
        DataError(
            f"{where}: the record table has no column {column!r}",
            code="DATA_COLUMN",
            field=where,
            expected=column,
            got=sorted(row)[:100],
            fix="check the spelling of the column",
        )
        for column, where in description.columns().items()
        if column not in row
    ]
    if problems:
        raise Problems(problems)


def _keys(description: Description, rows: Sequence[Row]) -> list[str]:
    key = description.records.key
    if key is None:
        digits = max(6, len(str(len(rows) - 1)))
        return [f"{number:0{digits}d}" for number in range(len(rows))]
    template = key if "{" in key else f"{{{key_columns(key)[0]}}}"
    return [render(template, row) for row in rows]


def _key_problem(key: str, number: int, row: Row, twin: Record | None) -> DataError | None:
    if not KEY.fullmatch(key):
        return DataError(
            f"row {number}: {key!r} is no valid key",
            code="DATA_NAME",
            key=key,
            field="records.key",
            expected=f"1 to {MAX_KEY_LENGTH} of A-Z a-z 0-9 _ -",
            fix="choose another column or template for records.key, or null to number the records",
        )
    if twin is not None:
        return DataError(
            f"rows {twin.number} and {number} have the same key (upper and lower case count as the same)",
            code="DATA_DUPLICATE_KEY",
            key=key,
            field="records.key",
            got=[_place(twin.number, twin.key, twin.row), _place(number, key, row)],
            fix="make the keys distinct, for example with a template of several columns",
        )
    return None


def _place(number: int, key: str, row: Row) -> str:
    return f"row {number}: {key}" + (f" in {row['shard']}" if "shard" in row else "")
