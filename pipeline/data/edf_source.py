"""Series in European Data Format files (EDF and EDF+), by the reader edfio."""

import struct
import warnings
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np

from pipeline.data.extras import need
from pipeline.data.file_source import RawData
from pipeline.data.recorder_source import RecorderSource
from pipeline.data.records import Record
from pipeline.data.series import Series
from pipeline.errors import DataError

_NUM_RECORDS = slice(236, 244)
"""Place of the number of data records in the header (Kemp et al. 1992)."""


class EdfSource(RecorderSource):
    """A series in an EDF or EDF+ file; its channels must have one rate."""

    kind: Literal["edf"] = "edf"
    """The `edf` form, with the extra `edf`."""

    def _load(self, path: Path, *, record: Record, data: RawData) -> Series:
        edfio = need("edfio", extra="edf")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # edfio only warns where it cuts a file; `_check_whole` refuses it
                edf = edfio.read_edf(path, lazy_load_data=True)
            _check_whole(path, edf.num_data_records)
            labels, reserved = list(edf.labels), edf.reserved
        except (ValueError, IndexError, KeyError, EOFError, OverflowError, struct.error) as error:
            raise _damaged(path, error) from error
        if reserved.startswith("EDF+D") and not edf.is_continuous:
            raise DataError(
                f"{path.name} has gaps",
                code="DATA_TIME",
                expected="EDF or EDF+C",
                got=reserved,
                fix="split it at its gaps",
            )
        wanted = self.wanted(labels)
        return self._series(edf, [edf.signals[labels.index(name)] for name in wanted], path)

    def _series(self, edf: Any, signals: list[Any], path: Path) -> Series:
        try:
            rates = [float(signal.sampling_frequency) for signal in signals]
            steps = [edf.num_data_records * signal.samples_per_data_record for signal in signals]
        except (ValueError, ArithmeticError) as error:
            raise _damaged(path, error) from error
        if len(set(rates)) > 1:
            raise DataError(
                "channels of different rates",
                code="DATA_RATE",
                expected=self.rate_hz,
                got=rates,
                fix="declare one stream for each rate",
            )
        self.check_size(max(steps))
        self.check_units([signal.physical_dimension for signal in signals])
        try:
            values = np.stack([signal.data for signal in signals])
        except (ValueError, ArithmeticError) as error:
            raise _damaged(path, error) from error
        return self.recorded(values, rate_hz=rates[0], start=None if self.zone is None else _start(edf))


def _check_whole(path: Path, num_records: int) -> None:
    """Compare the data records that were found with what the header says, as it is in the file."""
    with path.open("rb") as file:
        file.seek(_NUM_RECORDS.start)
        stated = int(file.read(_NUM_RECORDS.stop - _NUM_RECORDS.start))
    if stated != num_records:
        raise DataError(
            f"{path.name} ends early, or was not closed",
            code="DATA_TRUNCATED",
            expected=stated,
            got=num_records,
            fix="restore the file, or leave the record out",
        )


def _start(edf: Any) -> datetime | None:
    try:
        return edf.startdatetime
    except ValueError:  # anonymised
        return None


def _damaged(path: Path, error: Exception) -> DataError:
    return DataError(f"{path.name} is no readable EDF file: {error}", code="DATA_EDF", got=path.name)
