"""Series in files with named columns, one row a step: CSV and Parquet."""

import csv
import io
from pathlib import Path
from typing import Literal

import numpy as np
import pyarrow as pa
from pyarrow.csv import ConvertOptions, ReadOptions, read_csv

from pipeline.data.arrow_reader import arrow_reader
from pipeline.data.file_source import RawData
from pipeline.data.named_source import NamedSource
from pipeline.data.raw_files import decode_utf8
from pipeline.data.records import Record, plain_times, read_parquet
from pipeline.data.series import Series, TimeColumn
from pipeline.errors import DataError


class TableSource(NamedSource):
    """Base of the sources whose files have named columns, one row a step, columns in any order."""

    time: TimeColumn | None = None
    """Column of time stamps; null for a regular series."""

    @property
    def clock(self) -> Literal["record", "utc"] | None:
        """The time column's clock."""
        return None if self.time is None else self.time.clock

    def _times(self) -> list[str]:
        return [self.time.column] if self.time else []

    def series(self, table: pa.Table) -> Series:
        """The columns of a table (T rows) as a series. Raises DataError."""
        texts = [name for name in self.names if not _is_numeric(table.schema.field(name).type)]
        if texts:
            raise DataError(f"columns {texts} hold values that are no numbers", code="DATA_DTYPE", got=texts)
        values = np.stack([table.column(name).cast(pa.float64()).to_numpy() for name in self.names])
        stamps = None if self.time is None else plain_times(table.column(self.time.column)).to_numpy()
        return self.finish(values, stamps, self.time)


class CsvSource(TableSource):
    """A series in a CSV file with a header line."""

    kind: Literal["csv"] = "csv"
    """The `csv` form."""

    def _load(self, path: Path, *, record: Record, data: RawData) -> Series:
        text = decode_utf8(path.read_bytes(), name=path.name)
        wanted = self.wanted(next(csv.reader(io.StringIO(text)), []), *self._times())
        types = {self.time.column: pa.string()} if self.time and self.time.unit == "iso" else {}
        try:
            table = read_csv(
                arrow_reader(text.encode()),
                read_options=ReadOptions(use_threads=False),
                convert_options=ConvertOptions(include_columns=wanted, column_types=types),
            )
        except pa.ArrowInvalid as error:
            raise DataError(f"{path.name} is no rectangular table: {error}", code="DATA_CSV", got=path.name) from error
        return self.series(table)


class ParquetSource(TableSource):
    """A series in a Parquet file."""

    kind: Literal["parquet"] = "parquet"
    """The `parquet` form."""

    def _load(self, path: Path, *, record: Record, data: RawData) -> Series:
        table = read_parquet(path)
        return self.series(table.select(self.wanted(table.column_names, *self._times())))


def _is_numeric(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_null(kind)
