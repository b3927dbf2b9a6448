"""Series in WaveForm DataBase records (PhysioNet), by the reader wfdb."""

from pathlib import Path, PurePosixPath
from typing import Any, Literal

import numpy as np
from pydantic import field_validator

from pipeline.data.extras import need
from pipeline.data.file_source import RawData
from pipeline.data.raw_files import find_file, render
from pipeline.data.recorder_source import RecorderSource
from pipeline.data.records import Record
from pipeline.data.series import Series
from pipeline.errors import DataError, SecurityError

_MAX_HEADER_BYTES = 1 << 20
_STEPS_PER_BYTE = 64
"""No format packs more values into a byte: a short file cannot ask for much memory."""


class WfdbSource(RecorderSource):
    """A single-segment record; path names its header, such as "{record}.hea". Only local files are read."""

    kind: Literal["wfdb"] = "wfdb"
    """The `wfdb` form, with the extra `wfdb`."""

    @field_validator("path")
    @classmethod
    def _names_a_header(cls, path: str) -> str:
        if not path.endswith(("}", ".hea")):
            raise ValueError("path must name the header file, with .hea")
        return path

    def files(self, record: Record) -> list[str]:
        """The header, and the signal file that most records have."""
        name = render(self.path, record.row)
        return [name, str(PurePosixPath(name).with_suffix(".dat"))] if name else []

    def _load(self, path: Path, *, record: Record, data: RawData) -> Series:
        wfdb = need("wfdb", extra="wfdb")
        if path.suffix != ".hea" or path.stat().st_size > _MAX_HEADER_BYTES:
            raise DataError(f"{path.name} is no WFDB header", code="DATA_WFDB", got=path.name)
        name = str(path.with_suffix(""))
        try:
            header = wfdb.rdheader(name)
            self._check(header, path, data)
            wanted = self.wanted(list(header.sig_name or []))
            found = wfdb.rdrecord(name, channel_names=wanted)
        except (ValueError, TypeError, IndexError, KeyError, AttributeError, EOFError) as error:
            raise DataError(f"{path.name} is no readable record: {error}", code="DATA_WFDB", got=path.name) from error
        rows = [found.sig_name.index(channel) for channel in wanted]
        self.check_units([found.units[row] for row in rows])
        return self.recorded(np.asarray(found.p_signal).T[rows], rate_hz=float(header.fs), start=header.base_datetime)

    def _check(self, header: Any, path: Path, data: RawData) -> None:
        """A header may name any file and any length."""
        if not hasattr(header, "file_name") or set(header.samps_per_frame or [1]) != {1}:
            raise DataError(
                f"{path.name} has several segments or several samples a frame",
                code="DATA_WFDB",
                fix="convert it to one segment at one rate",
            )
        folder = path.parent.relative_to(data.root.resolve())
        for name in sorted(set(header.file_name or [])):
            if PurePosixPath(name).name != name:
                raise SecurityError(f"{path.name} names a file elsewhere", code="SEC_PATH", got=name)
            size = find_file(data.root, str(folder / name)).stat().st_size
            if (header.sig_len or 0) > size * _STEPS_PER_BYTE:
                raise DataError(f"{name} ends early", code="DATA_TRUNCATED", expected=header.sig_len, got=size)
        self.check_size(header.sig_len or 0)
