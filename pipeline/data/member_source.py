"""Streams that lie in someone else's WebDataset archives, and stay there."""

from typing import Literal

from pydantic import Field

from modalities.spec import Config
from pipeline.data.records import Record

SUFFIX = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+){0,7}$"


class MemberSource(Config):
    """A member of each sample of an archive; its bytes must be what the stream's codec stores."""

    kind: Literal["member"] = "member"
    """The `member` form, for records of kind webdataset."""
    suffix: str = Field(pattern=SUFFIX)
    """What follows the sample's key and a dot in the member's name, for example jpg or imu.npy."""
    optional: bool = False
    """Samples without this member are allowed."""

    def columns(self) -> list[str]:
        """No columns of the record table."""
        return []

    def files(self, record: Record) -> list[str]:
        """The archive."""
        return [record.row["shard"]]
