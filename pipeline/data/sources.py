"""Where each stream of a record comes from. A source knows files and arrays, not what kind of signal they hold."""

import csv
import io
from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import numpy as np
import pyarrow as pa
from pyarrow.csv import ConvertOptions, ReadOptions, read_csv
from pydantic import Field
from scipy.io import wavfile

from modalities.spec import Config
from pipeline.data.arrays import read_npy, read_npz
from pipeline.data.file_source import FileSource, RawData
from pipeline.data.raw_files import decode_utf8, template_columns
from pipeline.data.records import Record, plain_times, read_parquet
from pipeline.data.series import Series, SeriesSource, TimeColumn, channels_first
from pipeline.data.timestamps import check_rate
from pipeline.errors import DataError

Raw: TypeAlias = Series | bytes | str
"""What a source delivers: a series, the bytes of a file, or a text."""

Layout: TypeAlias = Annotated[str, Field(pattern=r"^[A-SU-Z]{0,3}T[A-SU-Z]{0,3}$")]
"""Axes of an array: one letter each, T is time; the others are flattened into channels in order."""


class TableSource(SeriesSource):
    """Base of the sources whose files have named columns, one row a step, columns in any order."""

    time: TimeColumn | None = None
    """Column of time stamps; null for a regular series."""
    ignore: tuple[str, ...] | Literal["all"] = ()
    """Further columns of the file that are left out on purpose; all leaves out whatever is not named."""

    def wanted(self, header: list[str]) -> list[str]:
        """The columns to read. Raises DataError naming exactly the missing and the unexpected ones."""
        wanted = [*self.names, *([self.time.column] if self.time else [])]
        missing = [name for name in wanted if name not in header]
        ignored = header if self.ignore == "all" else self.ignore
        extra = [name for name in header if name not in wanted and name not in ignored]
        twins = sorted({name for name in header if header.count(name) > 1})
        if missing or extra or twins:
            raise DataError(
                f"columns missing: {missing}, unexpected: {extra}, repeated: {twins}",
                code="DATA_CHANNELS",
                expected=wanted,
                got=header[:100],
                fix="name every column under channels, or leave it out with ignore",
            )
        return wanted

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
        wanted = self.wanted(next(csv.reader(io.StringIO(text)), []))
        types = {self.time.column: pa.string()} if self.time and self.time.unit == "iso" else {}
        try:
            table = read_csv(
                pa.BufferReader(text.encode()),
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
        return self.series(table.select(self.wanted(table.column_names)))


class NpySource(SeriesSource):
    """A series in an npy file."""

    kind: Literal["npy"] = "npy"
    """The `npy` form."""
    layout: Layout
    """Axes of the array, for example TC, CT or TJC (frames, joints, coordinates)."""

    def _load(self, path: Path, *, record: Record, data: RawData) -> Series:
        return self.finish(channels_first(read_npy(path), self.layout, self.names))


class NpzSource(SeriesSource):
    """A series in an npz file: row i of an array that all records share, or a whole array of the record's own file."""

    kind: Literal["npz"] = "npz"
    """The `npz` form."""
    array: str
    """Name of the array. When path has no {column}, record i is row i of it."""
    layout: Layout
    """Axes of one record, for example CT or TC."""
    length: str | None = None
    """Column of the record table with the number of steps that are real; null when all are."""

    def columns(self) -> list[str]:
        """Columns of the record table that this source reads."""
        return [*template_columns(self.path), *([self.length] if self.length else [])]

    def _load(self, path: Path, *, record: Record, data: RawData) -> Series:
        if template_columns(self.path):
            array = read_npz(path, self.array)
        else:
            array = _row(data.array(self.path, self.array), record)
        values = channels_first(array, self.layout, self.names)
        return self.finish(values if self.length is None else values[:, : _steps(record.row[self.length], values)])


class WavSource(SeriesSource):
    """A series in a wav file; its header must agree with rate_hz."""

    kind: Literal["wav"] = "wav"
    """The `wav` form."""

    def _load(self, path: Path, *, record: Record, data: RawData) -> Series:
        try:
            found_hz, array = wavfile.read(path)
        except (ValueError, EOFError, OSError) as error:
            raise DataError(f"{path.name} is no readable wav file", code="DATA_WAV", got=path.name) from error
        check_rate(found_hz, rate_hz=self.rate_hz, tolerance=self.rate_tolerance)
        return self.finish(channels_first(array, "TC"[: array.ndim], self.names))


class BytesSource(FileSource):
    """The bytes of a file, for example an encoded image."""

    kind: Literal["file"] = "file"
    """The `file` form."""

    def _load(self, path: Path, *, record: Record, data: RawData) -> bytes:
        return path.read_bytes()


class TextFileSource(FileSource):
    """A UTF-8 text file."""

    kind: Literal["text_file"] = "text_file"
    """The `text_file` form."""

    def _load(self, path: Path, *, record: Record, data: RawData) -> str:
        return decode_utf8(path.read_bytes(), name=path.name)


class ColumnSource(Config):
    """A text in a cell of the record table."""

    kind: Literal["column"] = "column"
    """The `column` form."""
    column: str
    """Column of the record table."""
    optional: bool = False
    """Empty cells are allowed and mean absent."""

    def columns(self) -> list[str]:
        """Columns of the record table that this source reads."""
        return [self.column]

    def files(self, record: Record) -> list[str]:
        """No raw files beside the record table."""
        return []

    def read(self, record: Record, data: RawData) -> str | None:
        """The text, or None when it is absent. Raises DataError."""
        if text := record.row[self.column]:
            return text
        if self.optional:
            return None
        raise DataError(
            f"the cell {self.column!r} is empty",
            code="DATA_MISSING_MODALITY",
            expected=self.column,
            fix="fill the cell, or declare the stream with optional: true",
        )


AnySource: TypeAlias = Annotated[
    CsvSource | ParquetSource | NpySource | NpzSource | WavSource | BytesSource | TextFileSource | ColumnSource,
    Field(discriminator="kind"),
]


def _is_numeric(kind: pa.DataType) -> bool:
    types = pa.types
    return types.is_integer(kind) or types.is_floating(kind) or types.is_boolean(kind) or types.is_null(kind)


def _row(array: np.ndarray, record: Record) -> np.ndarray:
    if record.number >= len(array):
        raise DataError(
            "the array has no row for this record", code="DATA_SHAPE", expected=record.number, got=len(array)
        )
    return array[record.number]


def _steps(cell: str, values: np.ndarray) -> int:
    if not cell.isdecimal() or not 0 < int(cell) <= values.shape[1]:
        raise DataError(
            "the number of steps does not fit the array", code="DATA_SHAPE", expected=f"1..{values.shape[1]}", got=cell
        )
    return int(cell)
