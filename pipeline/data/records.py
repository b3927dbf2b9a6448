"""Tables of records: one row is one raw item, its cells are text."""

import csv
import io
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pydantic import Field

from modalities.spec import Config
from pipeline.data.arrays import read_npz
from pipeline.data.raw_files import Row, decode_utf8, find_file
from pipeline.errors import DataError


@dataclass(frozen=True)
class Record:
    """One raw item: its row number in the table, its key and its cells."""

    number: int
    key: str
    row: Row


class TableRecords(Config):
    """Base of the tables that are one file."""

    path: str
    """File below the data root."""
    key: str | None
    """Column or template ("{subject}_{trial}") that names a record; null numbers them."""

    def files(self, root: Path) -> list[str]:
        """Names of the files that the table is read from."""
        return [self.path]


class CsvRecords(TableRecords):
    """A CSV table with a header line, one record a row."""

    kind: Literal["csv"] = "csv"
    """The `csv` form."""

    def rows(self, root: Path) -> list[Row]:
        """Rows as text. Raises DataError for a file that is not a rectangular UTF-8 table."""
        text = decode_utf8(find_file(root, self.path).read_bytes(), name=self.path)
        return list(_csv_rows(text, self.path))


class ParquetRecords(TableRecords):
    """A Parquet table, one record a row. Time stamps with a zone become integer nanoseconds."""

    kind: Literal["parquet"] = "parquet"
    """The `parquet` form."""

    def rows(self, root: Path) -> list[Row]:
        """Rows as text. Raises DataError for a damaged file."""
        table = read_parquet(find_file(root, self.path))
        names = table.column_names
        columns = [_texts(plain_times(table.column(name)).to_pylist()) for name in names]
        return [dict(zip(names, cells, strict=True)) for cells in zip(*columns, strict=True)]


class NpzRecords(TableRecords):
    """Arrays of equal length in one npz file; record i is row i of every array."""

    kind: Literal["npz"] = "npz"
    """The `npz` form."""
    columns: dict[str, str] = Field(min_length=1)
    """Column name -> name of a one-dimensional array."""

    def rows(self, root: Path) -> list[Row]:
        """Rows as text. Raises DataError for missing or unequal arrays."""
        path = find_file(root, self.path)
        columns = {name: self._column(path, array) for name, array in self.columns.items()}
        lengths = {name: len(cells) for name, cells in columns.items()}
        if len(set(lengths.values())) > 1:
            raise DataError(f"{self.path}: columns of unequal length", code="DATA_SHAPE", got=lengths)
        return [dict(zip(columns, cells, strict=True)) for cells in zip(*columns.values(), strict=True)]

    def _column(self, path: Path, array: str) -> list[str]:
        values = read_npz(path, array)
        if values.ndim != 1:
            raise DataError(
                f"{self.path}: array {array!r} is no column", code="DATA_SHAPE", expected="(N,)", got=list(values.shape)
            )
        return _texts(values.tolist())


def read_parquet(path: Path) -> pa.Table:
    """A whole Parquet file. Raises DataError when it is damaged."""
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise DataError(f"{path.name} is no readable Parquet file", code="DATA_PARQUET", got=path.name) from error


def _csv_rows(text: str, name: str) -> Iterator[Row]:
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = next(reader, [])
        if len(set(header)) != len(header) or not header:
            raise DataError(f"{name}: the header needs distinct column names", code="DATA_COLUMN", got=header)
        for cells in reader:
            if len(cells) != len(header) and cells:
                raise DataError(
                    f"{name} line {reader.line_num}: wrong number of cells",
                    code="DATA_COLUMN",
                    expected=len(header),
                    got=len(cells),
                )
            if cells:
                yield dict(zip(header, cells, strict=True))
    except csv.Error as error:
        raise DataError(f"{name} line {reader.line_num}: {error}", code="DATA_CSV") from error


def plain_times(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """Time stamps with a zone as integer nanoseconds since 1970 UTC; any other column as it is."""
    if pa.types.is_timestamp(column.type) and column.type.tz is not None:
        return column.cast(pa.timestamp("ns", column.type.tz)).cast(pa.int64())
    return column


def _texts(cells: Iterable[object]) -> list[str]:
    return [cell_text(cell) for cell in cells]


def cell_text(cell: object) -> str:
    """A cell as text: "" for null and NaN, "true"/"false" for booleans, 3.0 as "3"."""
    if cell is None or (isinstance(cell, float) and np.isnan(cell)):
        return ""
    if isinstance(cell, bool):
        return "true" if cell else "false"
    if isinstance(cell, float) and cell.is_integer():
        return str(int(cell))
    return decode_utf8(cell, name="a cell") if isinstance(cell, bytes) else str(cell)
