"""Where each stream of a record comes from. A source knows files and arrays, not what kind of signal they hold."""

from typing import Annotated, TypeAlias

from pydantic import Field

from pipeline.data.array_sources import NpySource, NpzSource
from pipeline.data.content_sources import BytesSource, ColumnSource, TextFileSource
from pipeline.data.edf_source import EdfSource
from pipeline.data.hdf5_source import Hdf5Source
from pipeline.data.member_source import MemberSource
from pipeline.data.series import Series
from pipeline.data.table_sources import CsvSource, ParquetSource
from pipeline.data.wav_source import WavSource
from pipeline.data.wfdb_source import WfdbSource

Raw: TypeAlias = Series | bytes | str
"""What a source delivers: a series, the bytes of a file, or a text."""

SeriesForm: TypeAlias = (
    CsvSource | ParquetSource | NpySource | NpzSource | WavSource | Hdf5Source | WfdbSource | EdfSource
)
RawSource: TypeAlias = SeriesForm | BytesSource | TextFileSource | ColumnSource
"""Sources that `ingest` encodes; a member of a foreign archive stays where it is."""

AnySource: TypeAlias = Annotated[RawSource | MemberSource, Field(discriminator="kind")]
