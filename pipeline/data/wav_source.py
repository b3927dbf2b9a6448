"""Series in wav files."""

from pathlib import Path
from typing import Literal

from scipy.io import wavfile

from pipeline.data.file_source import RawData
from pipeline.data.records import Record
from pipeline.data.series import Series, SeriesSource, channels_first
from pipeline.data.timestamps import check_rate
from pipeline.errors import DataError


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
