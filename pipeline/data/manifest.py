"""The JSON description of an ingested data set. Its hash names the data set in checkpoints and results."""

import hashlib
import json
from pathlib import Path, PurePosixPath
from typing import Annotated, Literal

from pydantic import Field, JsonValue, ValidationError, field_validator, model_validator
from pydantic_core import from_json

from modalities.spec import Config, Statistics
from pipeline.data.description import ColumnName, StreamName
from pipeline.errors import DataError

MANIFEST_NAME = "manifest.json"
INDEX_NAME = "index.parquet"
ORIGINALS_NAME = "originals.parquet"  # only where samples stay in archives of someone else
FORMAT_VERSION = 1
MAX_MANIFEST_BYTES = 64 << 20
MAX_STEPS = 1_000_000

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class StreamEntry(Config):
    """One stream: its schema, the statistics of its training samples, and the files its codec fitted on them."""

    kind: str
    """Kind of signal, the schema's tag."""
    schema_: dict[str, JsonValue] = Field(alias="schema")
    """Schema of the codec."""
    statistics: Statistics
    """From training samples only."""
    files: dict[str, Sha256]
    """Path below the data set folder -> sha256."""
    count: int = Field(ge=0)
    """Samples that have this stream."""

    @field_validator("files")
    @classmethod
    def _inside(cls, files: dict[str, str]) -> dict[str, str]:
        for name in files:
            if PurePosixPath(name).is_absolute() or ".." in PurePosixPath(name).parts or "\\" in name:
                raise ValueError(f"{name!r} leaves the data set folder")
        return files


class StepLabelEntry(Config):
    """A class for every step of a stream."""

    stream: StreamName
    """Its stream."""
    classes: tuple[str, ...] = Field(min_length=2)
    """Class names in class order."""
    count: int = Field(ge=0)
    """Samples that have it."""


class ShardEntry(Config):
    """One tar of whole samples."""

    name: str = Field(pattern=r"^shard-[0-9]{5,}(_[0-9]{3,})?\.tar$")
    """File name below shards/."""
    bytes: int = Field(gt=0)
    """Size."""
    count: int = Field(gt=0)
    """Samples."""
    sha256: Sha256
    """Hash of the file."""


class SplitEntry(Config):
    """How the samples were split."""

    rule: dict[str, JsonValue]
    """The split section of the description, with allow_duplicates where that was true."""
    counts: dict[Literal["train", "validation", "test"], int]
    """Samples of each split."""


class Manifest(Config):
    """What is in a data set folder."""

    format_version: Literal[1] = FORMAT_VERSION
    """Version of this format."""
    name: str
    """Name of the data set."""
    streams: dict[StreamName, StreamEntry]
    """Streams by name."""
    shards: tuple[ShardEntry, ...] = Field(min_length=1)
    """Shards in order."""
    index_sha256: Sha256
    """Hash of index.parquet."""
    num_samples: int = Field(gt=0)
    """Samples in all shards."""
    num_records: int = Field(gt=0)
    """Records they come from."""
    num_dropped_windows: int = Field(ge=0)
    """Windows left out because a required stream does not cover them."""
    groups: tuple[ColumnName, ...]
    """Group columns of the index."""
    labels: dict[ColumnName, tuple[str, ...]]
    """Label column -> class names in class order."""
    step_labels: dict[ColumnName, StepLabelEntry] = Field(default_factory=dict, exclude_if=lambda labels: not labels)
    """Labels of single steps; left out where there are none, so that older data sets keep their hash."""
    split: SplitEntry
    """How the samples were split."""
    quarantine: tuple[str, ...]
    """Keys of the records left out as bad."""

    @model_validator(mode="after")
    def _labelled_streams(self) -> "Manifest":
        for name, entry in self.step_labels.items():
            if entry.stream not in self.streams or name in self.streams:
                raise ValueError(f"step label {name} must have a name of its own and belong to a stream")
            steps = self.streams[entry.stream].schema_.get("max_steps")
            if not isinstance(steps, int) or not 1 <= steps <= MAX_STEPS:
                raise ValueError(
                    f"step label {name}: the schema of {entry.stream} needs max_steps from 1 to {MAX_STEPS}"
                )
        return self

    def max_steps(self, stream: str) -> int:
        """Longest series of a stream with step labels."""
        steps = self.streams[stream].schema_["max_steps"]
        assert isinstance(steps, int)  # noqa: S101 - the manifest was checked
        return steps

    @property
    def sha256(self) -> str:
        """Hash of the canonical JSON; through the index's and shards' hashes it covers every byte of the data set."""
        document = self.model_dump(mode="json", by_alias=True)
        text = json.dumps(document, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    def to_text(self) -> str:
        """The manifest as it is written to disk, with its own hash."""
        document = self.model_dump(mode="json", by_alias=True) | {"sha256": self.sha256}
        return json.dumps(document, sort_keys=True, indent=1) + "\n"


def load_manifest(folder: Path) -> Manifest:
    """The manifest of a data set folder. Raises DataError when it is missing, damaged or of another version."""
    path = folder / MANIFEST_NAME
    try:
        if path.stat().st_size > MAX_MANIFEST_BYTES:
            raise DataError(f"{path} is too large", code="DATA_TOO_LARGE", expected=f"<= {MAX_MANIFEST_BYTES} bytes")
        return parse_manifest(path.read_bytes(), str(path))
    except FileNotFoundError as error:
        raise DataError(
            f"{folder} is no data set: it has no {MANIFEST_NAME}",
            code="DATA_MANIFEST",
            got=str(folder),
            fix="run ingest, or check data.path",
        ) from error


def parse_manifest(payload: bytes, source: str) -> Manifest:
    """The manifest in a file that came from `source`. Raises DataError when it is damaged or of another version."""
    try:
        document = from_json(payload, allow_inf_nan=False)
    except ValueError as error:
        raise _damaged(source, str(error)) from error
    signature = document.pop("sha256", None) if isinstance(document, dict) else None
    try:
        manifest = Manifest.model_validate(document)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise _damaged(source, f"{where}: {first['msg']}", field=where) from error
    if signature != manifest.sha256:
        raise DataError(
            f"{source} has changed since it was written",
            code="DATA_CHECKSUM",
            field=MANIFEST_NAME,
            expected=str(signature)[:64],
            got=manifest.sha256,
            fix="restore the data set, or ingest again",
        )
    return manifest


def _damaged(source: str, problem: str, *, field: str | None = None) -> DataError:
    return DataError(f"{source} is damaged: {problem}", code="DATA_MANIFEST", field=field, fix="ingest again")


def stream_folder(folder: Path, stream: str) -> Path:
    """Folder below a data set where the codec of one stream keeps its fitted files."""
    return folder / "streams" / stream
