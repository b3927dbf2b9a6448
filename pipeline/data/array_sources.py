"""Series in numpy files."""

from pathlib import Path
from typing import Annotated, Literal, TypeAlias

import numpy as np
from pydantic import Field

from pipeline.data.arrays import read_npy, read_npz
from pipeline.data.file_source import RawData
from pipeline.data.raw_files import template_columns
from pipeline.data.records import Record
from pipeline.data.series import Series, SeriesSource, channels_first
from pipeline.errors import DataError

Layout: TypeAlias = Annotated[str, Field(pattern=r"^[A-SU-Z]{0,3}T[A-SU-Z]{0,3}$")]
"""Axes of an array: one letter each, T is time; the others are flattened into channels in order."""


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
