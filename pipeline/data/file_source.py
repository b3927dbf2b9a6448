"""Sources that read one raw file per record."""

import re
from abc import abstractmethod
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from pydantic import Field

from modalities.spec import Config
from pipeline.data.arrays import read_npz
from pipeline.data.raw_files import find_file, render, template_columns
from pipeline.data.records import Record
from pipeline.errors import DataError

if TYPE_CHECKING:
    from pipeline.data.series import Series


@dataclass
class RawData:
    """The raw folder, with the arrays that many records share kept in memory."""

    root: Path
    _arrays: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    def array(self, name: str, array: str) -> np.ndarray:
        """An array of an npz file below the root."""
        if (name, array) not in self._arrays:
            self._arrays[name, array] = read_npz(find_file(self.root, name), array)
        return self._arrays[name, array]

    def __getstate__(self) -> dict[str, object]:
        return {"root": self.root, "_arrays": {}}


_CELL = re.compile(r"\{\w+\}")


class FileSource(Config):
    """Base of the sources that read a file named by a template."""

    path: str = Field(min_length=1)
    """File below the data root, with {column} of the record table, for example "{inertial}" or "audio/{key}.wav"."""
    optional: bool = False
    """Records without this stream are allowed: an empty cell means absent, and so does no such file. Where `path` is
    one cell alone, a cell that names a file promises it."""

    def columns(self) -> list[str]:
        """Columns of the record table that this source reads."""
        return template_columns(self.path)

    def files(self, record: Record) -> list[str]:
        """Raw files of a record, below the data root."""
        return [name] if (name := render(self.path, record.row)) else []

    def read(self, record: Record, data: RawData) -> "Series | bytes | str | None":
        """The raw signal, or None when it is absent. Raises DataError or SecurityError."""
        name = render(self.path, record.row)
        if not name:
            return self._absent()
        try:
            path = find_file(data.root, name)
        except DataError as error:
            if self.optional and error.code == "DATA_MISSING_FILE" and not _CELL.fullmatch(self.path):
                return None
            raise  # a cell that names a file promises it
        except OSError as error:
            raise _unreadable(name, error) from error
        try:
            return self._load(path, record=record, data=data)
        except OSError as error:
            raise _unreadable(name, error) from error

    def _absent(self) -> None:
        if not self.optional:
            raise DataError(
                "the record names no file",
                code="DATA_MISSING_MODALITY",
                expected=self.path,
                fix="fill the cell, or declare the stream with optional: true",
            )

    @abstractmethod
    def _load(self, path: Path, *, record: Record, data: RawData) -> "Series | bytes | str":
        """Read an existing file."""


def _unreadable(name: str, error: OSError) -> DataError:
    return DataError(f"cannot read {name}: {error.strerror}", code="DATA_UNREADABLE", got=name)
