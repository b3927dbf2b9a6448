"""Series in HDF5 files, by the reader h5py."""

from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.data.array_sources import Layout
from pipeline.data.extras import need
from pipeline.data.file_source import RawData
from pipeline.data.raw_files import MAX_FILE_BYTES, render, template_columns
from pipeline.data.records import Record
from pipeline.data.series import Series, SeriesSource, channels_first
from pipeline.data.timestamps import check_rate
from pipeline.errors import DataError, SecurityError


class Hdf5Source(SeriesSource):
    """A series in a data set of an HDF5 file, which may be one file for all records."""

    kind: Literal["hdf5"] = "hdf5"
    """The `hdf5` form, with the extra `hdf5`."""
    dataset: str
    """Data set in the file, with {column} of the record table, for example "{key}/acceleration"."""
    layout: Layout
    """Axes of the data set, for example TC or CT."""
    rate_attribute: str | None = None
    """Attribute of the data set that states its rate in Hz; null where the file does not say it."""

    def columns(self) -> list[str]:
        """Columns of the record table that this source reads."""
        return [*template_columns(self.path), *template_columns(self.dataset)]

    def _load(self, path: Path, *, record: Record, data: RawData) -> Series:
        h5py = need("h5py", extra="hdf5")
        try:
            with h5py.File(path, "r") as file:
                found = _dataset(file, render(self.dataset, record.row), h5py)
                if self.rate_attribute is not None:
                    check_rate(_rate(found, self.rate_attribute), rate_hz=self.rate_hz, tolerance=self.rate_tolerance)
                array = np.asarray(found[()])
        except (OSError, RuntimeError, KeyError, ValueError) as error:
            raise DataError(
                f"{path.name} is no readable HDF5 file: {error}", code="DATA_HDF5", got=path.name
            ) from error
        return self.finish(channels_first(array, self.layout, self.names))


def _dataset(file: Any, name: str, h5py: Any) -> Any:
    """A numeric data set of the file itself: links, and data that lie in other files, are refused."""
    node = file
    for part in name.strip("/").split("/"):
        link = node.get(part, getlink=True) if part and isinstance(node, h5py.Group) else None
        if link is None:
            raise DataError(f"the file has no data set {name!r}", code="DATA_MISSING_FIELD", expected=name)
        if not isinstance(link, h5py.HardLink):
            raise SecurityError(f"{name!r} is a link", code="SEC_PATH", got=name, fix="store the data themselves")
        node = node[part]
    if not isinstance(node, h5py.Dataset) or node.dtype.kind not in "fiub":
        raise DataError(f"{name!r} is no numeric data set", code="DATA_DTYPE", got=str(getattr(node, "dtype", "group")))
    if node.external or node.is_virtual:
        raise SecurityError(f"{name!r} lies in other files", code="SEC_PATH", got=name, fix="store the data themselves")
    if node.size * max(node.dtype.itemsize, 8) > MAX_FILE_BYTES:
        raise DataError(f"{name!r} is too large", code="DATA_TOO_LARGE", expected=MAX_FILE_BYTES, got=list(node.shape))
    return node


def _rate(dataset: Any, attribute: str) -> float:
    if attribute not in dataset.attrs:
        raise DataError(f"the data set has no attribute {attribute!r}", code="DATA_MISSING_FIELD", expected=attribute)
    value = np.asarray(dataset.attrs[attribute])
    if value.size != 1 or value.dtype.kind not in "fiu":
        raise DataError(f"the attribute {attribute!r} is no rate", code="DATA_RATE", got=str(value)[:80])
    return float(value.reshape(-1)[0])
