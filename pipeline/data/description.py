"""Description of a user's raw files: the `data.ingest` section of a recipe. It does not know kinds of signals."""

import hashlib
import json
import re
from typing import Annotated, Literal, TypeAlias

from pydantic import AfterValidator, Field, model_validator

from modalities.spec import Config
from pipeline.data.labels import LabelColumn
from pipeline.data.member_source import MemberSource
from pipeline.data.raw_files import template_columns
from pipeline.data.record_sources import AnyRecords
from pipeline.data.resample import rate_ratio
from pipeline.data.series import SeriesSource
from pipeline.data.sources import AnySource, RawSource
from pipeline.data.split import AnySplit
from pipeline.data.step_labels import StepLabel
from pipeline.data.timestamps import TimeUnit
from pipeline.data.webdataset_records import WebdatasetRecords
from pipeline.data.windows import WindowConfig

MAX_KEY_LENGTH = 64
KEY = re.compile(rf"[A-Za-z0-9_-]{{1,{MAX_KEY_LENGTH}}}")
ColumnName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")]


def _not_reserved(name: str) -> str:
    if name == "meta":
        raise ValueError("no stream may be called meta: <key>.meta.json holds groups and labels")
    return name


StreamName: TypeAlias = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,19}$"), AfterValidator(_not_reserved)]


class StartTime(Config):
    """The column with the moment a record starts."""

    column: str
    """Column of the record table; empty cells mean unknown."""
    unit: TimeUnit = "iso"
    """iso with a zone, or s, ms, us, ns since 1970 UTC."""


class Description(Config):
    """Raw files: which records there are, where their streams are, how they are cut and split."""

    name: str = Field(default="data", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,79}$")
    """Name of the data set in its manifest and in tracking."""
    records: AnyRecords
    """The table of records."""
    streams: dict[StreamName, AnySource] = Field(min_length=1)
    """Source of every stream."""
    groups: dict[ColumnName, str] = Field(default_factory=dict)
    """Group name (subject, session, device, ...) -> column of the record table."""
    labels: dict[ColumnName, LabelColumn] = Field(default_factory=dict)
    """Label name -> column of the record table, optionally with class names."""
    step_labels: dict[ColumnName, StepLabel] = Field(default_factory=dict, exclude_if=lambda labels: not labels)
    """Label name -> class of every step of a sensor stream, such as the phase of a movement."""
    start: StartTime | None = None
    """Start time of records; null where unknown. Streams with UTC stamps do not need it."""
    window: WindowConfig | None = None
    """Cut long recordings into windows; null makes one sample of each record."""
    split: AnySplit
    """Which records train, validate and test."""
    allow_duplicates: bool = False
    """Allow samples with identical content in different splits."""
    policy: Literal["strict", "quarantine"] = "strict"
    """strict refuses a data set with bad records; quarantine leaves them out and lists them in the manifest."""
    shard_mib: float = Field(default=64.0, gt=0, le=4096)
    """Shards are closed once they reach this size."""
    unit_records: int | None = Field(default=None, ge=1)
    """Records of one unit of work, which has shards of its own and is redone as a whole after a kill; null means an
    eighth of all, at least 128 and at most 4096, or 8 to 256 recordings that are cut into windows."""

    @model_validator(mode="after")
    def _consistent(self) -> "Description":
        labels = [label.source for label in self.step_labels.values()]
        clocks = {s.clock for s in (*self.streams.values(), *labels) if isinstance(s, SeriesSource)}
        if len(clocks - {None}) > 1:
            raise ValueError("all time columns must use the same clock")
        if len({isinstance(source, MemberSource) for source in self.streams.values()} | {self.in_place}) > 1:
            raise ValueError("records of kind webdataset need streams of kind member, and only they can have them")
        if self.in_place and (self.window is not None or self.unit_records is not None):
            raise ValueError("archives are indexed as they are: window and unit_records must be null")
        for name in self.step_labels:
            self._check_step_label(name)
        return self

    def _check_step_label(self, name: str) -> None:
        if name in self.streams or name in self.labels or name == "meta":
            raise ValueError(f"step label {name} has the name of a stream or of a label column")
        label, source = self.step_labels[name], self.streams.get(self.step_labels[name].stream)
        if not isinstance(source, SeriesSource):
            raise ValueError(f"step_labels.{name}.stream {label.stream!r} is no stream with a series of its own")
        if (label.source.clock is None) != (source.clock is None):
            raise ValueError(
                f"step_labels.{name}: either both sources have time stamps, the label's and its stream's, or none"
            )
        rate_ratio(label.source.rate_hz, source.stored_rate_hz)

    @property
    def in_place(self) -> bool:
        """Whether samples stay in archives of someone else."""
        return isinstance(self.records, WebdatasetRecords)

    def raw_sources(self) -> dict[str, RawSource]:
        """The streams that are read from raw files."""
        return {name: source for name, source in self.streams.items() if not isinstance(source, MemberSource)}

    def step_sources(self) -> dict[str, RawSource]:
        """The sources of the step labels, as they follow their streams."""
        return {n: label.along(self.labelled_source(n)) for n, label in self.step_labels.items()}

    def labelled_source(self, name: str) -> SeriesSource:
        """The source of the stream that a step label belongs to."""
        source = self.streams[self.step_labels[name].stream]
        assert isinstance(source, SeriesSource)  # noqa: S101 - the description was checked
        return source

    def columns(self) -> dict[str, str]:
        """Every column of the record table that is used -> the key of the description that names it."""
        used = {column: f"streams.{name}" for name, source in self.streams.items() for column in source.columns()}
        used |= {column: f"groups.{name}" for name, column in self.groups.items()}
        used |= {label.column: f"labels.{name}" for name, label in self.labels.items()}
        used |= {
            column: f"step_labels.{n}" for n, label in self.step_labels.items() for column in label.source.columns()
        }
        used |= dict.fromkeys(self.split.columns(), "split")
        if self.records.key is not None:
            used |= dict.fromkeys(key_columns(self.records.key), "records.key")
        return used | ({self.start.column: "start"} if self.start else {})

    def sha256(self) -> str:
        """Hash of everything that decides what an ingest writes."""
        text = json.dumps(self.model_dump(mode="json", by_alias=True), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()


def key_columns(key: str) -> list[str]:
    """Columns of a key: those of a template, or the one column it names."""
    return template_columns(key) or [key]
