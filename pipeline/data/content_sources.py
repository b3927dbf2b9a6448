"""Streams that are taken as they are: files, texts, cells of the record table."""

from pathlib import Path
from typing import Literal

from modalities.spec import Config
from pipeline.data.file_source import FileSource, RawData
from pipeline.data.raw_files import decode_utf8
from pipeline.data.records import Record
from pipeline.errors import DataError


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
