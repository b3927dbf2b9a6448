"""Where the data of a recipe is, and how raw files become it."""

from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator

from jobs.planted.config import PlantedConfig
from modalities.catalogue import AnySchema
from modalities.spec import Config
from pipeline.data.description import Description
from pipeline.data.place import parse_place

REMOTE_KEYS = {"allowed_hosts", "endpoint", "cache", "cache_gib", "io_timeout_s"}
"""Keys of `data` that say how remote data is reached, not which data it is."""


class BundledConfig(Config):
    """A public data set that ships inside the optional package sktime."""

    kind: Literal["bundled"] = "bundled"
    """Raw files are written from a bundled data set."""
    name: Literal["basicmotions", "japanese_vowels"]
    """Which one."""


class IngestConfig(Description):
    """How raw files become shards: where each stream comes from, and what it is."""

    schemas: dict[str, AnySchema]
    """Schema of each stream: channels, rate, size limits."""

    @model_validator(mode="after")
    def _same_streams(self) -> "IngestConfig":
        if self.schemas.keys() != self.streams.keys():
            raise ValueError(f"streams {sorted(self.streams)} and schemas {sorted(self.schemas)} must name the same")
        return self


class MixedDataset(Config):
    """One data set of a mixture."""

    path: str = Field(min_length=1)
    """Folder of the ingested data set, or its URL."""
    weight: float = Field(default=1.0, gt=0)
    """Its share of every batch, relative to the others."""

    @field_validator("path")
    @classmethod
    def _known_place(cls, path: str) -> str:
        parse_place(path)
        return path


class DataConfig(Config):
    """Where the data is."""

    generate: Annotated[PlantedConfig | BundledConfig, Field(discriminator="kind")] | None = None
    """Write the raw files first, into `<out>/raw`; None means they exist in `root`."""
    root: str | None = None
    """Folder of the raw files."""
    path: str | None = None
    """Folder of the ingested data set, or its URL (s3, gs, http or https); None means `<out>/data`."""
    allowed_hosts: tuple[str, ...] = ()
    """Hosts that remote data may come from; none means the host of `path`. One that is not public must be named."""
    endpoint: str | None = None
    """URL of an S3-compatible server; None means Amazon's. Credentials come from the environment as boto reads it."""
    cache: str | None = None
    """Folder for shards of remote data, on a local disk; None means the user's cache folder."""
    cache_gib: float = Field(default=50.0, gt=0)
    """Most space that cached shards take, in GiB; the least recently used go first."""
    io_timeout_s: float = Field(default=30.0, gt=0)
    """Seconds without progress after which a remote transfer is tried again."""
    ingest: IngestConfig | None = None
    """Description of the raw files; None means `path` is already ingested."""
    workers: int = Field(default=1, ge=1)
    """Processes that ingest, as Ray tasks on all machines that share `root` and `path`; 1 works in this process."""
    mix: tuple[MixedDataset, ...] | None = Field(default=None, min_length=2)
    """Pretrain on several ingested data sets with equal streams; the first is also the one that is evaluated."""

    @field_validator("path")
    @classmethod
    def _known_place(cls, path: str | None) -> str | None:
        if path is not None:
            parse_place(path)
        return path

    @model_validator(mode="after")
    def _one_source(self) -> "DataConfig":
        if self.mix is not None and any((self.generate, self.root, self.path, self.ingest)):
            raise ValueError("mix names ingested data sets: leave out generate, root, path and ingest")
        return self
