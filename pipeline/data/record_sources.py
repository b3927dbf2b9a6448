"""The kinds of record tables there are."""

from typing import Annotated, TypeAlias

from pydantic import Field

from pipeline.data.records import CsvRecords, NpzRecords, ParquetRecords
from pipeline.data.webdataset_records import WebdatasetRecords

AnyRecords: TypeAlias = Annotated[
    CsvRecords | ParquetRecords | NpzRecords | WebdatasetRecords, Field(discriminator="kind")
]
