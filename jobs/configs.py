"""The recipe: one YAML file describes a whole run, from raw files to a fine-tuned classifier."""

import difflib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator, model_validator
from torch import nn

from jobs.planted.config import PlantedConfig
from jobs.tracking_config import TrackingConfig
from modalities.catalogue import AnySchema, AnyStream
from modalities.spec import Config
from pipeline.data.description import Description
from pipeline.data.order_config import AnyOrder, MixtureOrder, ShuffleOrder
from pipeline.data.place import DatasetUrl, absolute, parse_place
from pipeline.errors import ConfigError
from pipeline.evaluate.evaluate_config import EvaluateConfig
from pipeline.evaluate.finetune_config import FinetuneConfig
from pipeline.evaluate.probe_config import ProbeConfig
from pipeline.evaluate.regression_config import RegressionConfig
from pipeline.evaluate.sensor_statistics import SensorStatistics
from pipeline.evaluate.sequence_config import SequenceConfig
from pipeline.memory.config import MemoryConfig
from pipeline.objectives.catalogue import AnyObjective
from pipeline.relations.config import AnyRelation
from pipeline.train.fit_config import FitConfig
from pipeline.train.mirror_config import MirrorConfig

REMOTE_KEYS = {"allowed_hosts", "endpoint", "cache", "cache_gib", "io_timeout_s"}
"""Keys of `data` that say how remote data is reached, not which data it is."""
STREAM_NAME = r"^[a-z][a-z0-9_]*$"


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


class PretrainConfig(FitConfig):
    """Self-supervised pretraining."""

    workers: int = Field(default=2, ge=0)
    """Ray Train workers; 0 trains in this process without Ray."""
    min_workers: int | None = Field(default=None, ge=1)
    """Fewest workers to go on with while the cluster has no room for all; the group grows again when it has. The same
    bits with any number. Default: waits for all."""
    threads: int = Field(default=1, ge=1)
    """CPU threads per worker; part of what makes bits repeat."""
    gpus: float = Field(default=0, ge=0)
    """GPUs per worker."""
    max_failures: int = Field(default=3, ge=0)
    """Restarts after a lost worker before the job gives up, and new connections after a lost Ray controller."""
    hang_after_s: float = Field(default=45.0, gt=0)
    """Seconds after which a step on Ray workers hangs, unless ten median steps take longer, and after which a worker
    that gives its peers no sign of life is lost: stacks are written, and the workers restart from a checkpoint."""
    last: Literal["drop", "pad"] = "drop"
    """What happens to the last partial batch of an epoch of `shuffle`; the other orders have whole batches only."""
    order: AnyOrder = ShuffleOrder()
    """What a batch holds, and in which order."""
    mirror: MirrorConfig | None = None
    """Copies of the checkpoints on remote storage, for a machine that is replaced; None keeps them in `out` alone."""

    @model_validator(mode="after")
    def _fewer_than_all(self) -> "PretrainConfig":
        if self.min_workers is not None and self.min_workers > self.workers:
            raise ValueError(f"min_workers is {self.min_workers}, which is more than the {self.workers} workers")
        return self


class LeakConfig(Config):
    """What may leak, declared on purpose."""

    allow: tuple[str, ...] = ()
    """Streams that are known to show the label; they are named in every report."""


class Recipe(Config):
    """Everything about one run."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)
    """Name of the run in folders and tracking."""
    description: str = ""
    """One paragraph for the report."""
    seed: int = Field(default=0, ge=0)
    """Seed of everything random."""
    out: str | None = None
    """Run folder; None means `runs/<name>`."""
    data: DataConfig
    """Raw files and data set."""
    label: str | None = None
    """Label column that probes and fine-tuning predict."""
    subject: str | None = None
    """Group column that validation holds out and figures colour by."""
    streams: dict[Annotated[str, Field(pattern=STREAM_NAME)], AnyStream] = Field(min_length=1)
    """Augmentation and encoder of each stream that takes part."""
    objectives: tuple[AnyObjective, ...] = Field(min_length=1)
    """What pretraining minimises, weighted."""
    memory: MemoryConfig = MemoryConfig()
    """Feature bank and pseudo-labels, for the objectives that need them."""
    relations: dict[Annotated[str, Field(pattern=STREAM_NAME)], AnyRelation] = Field(default_factory=dict)
    """Which samples belong together, by name, for relational objectives, orders and `kindred relations`."""
    pretrain: PretrainConfig = PretrainConfig()
    """The pretraining stage."""
    pretrained: str | None = Field(default=None, min_length=1)
    """Another pretraining that probe and finetune start from: its run folder or MLflow run id; None: this run's own."""
    pretrained_streams: dict[str, str] = Field(default_factory=dict)
    """Stream of this recipe -> stream of that pretraining whose encoder it starts from, where their names differ."""
    pretrained_subjects: Literal["same", "other"] = "same"
    """Who a subject of that pretraining's data set is that one of this data set is called alike: `other` people where
    both merely count from 1 on; the same ones must not be in the test split."""
    probe: ProbeConfig = ProbeConfig()
    """The probe stage."""
    regression: RegressionConfig | None = None
    """Numbers that the probe stage predicts beside the label; None predicts none."""
    sequence: SequenceConfig | None = None
    """Classes of single steps that the probe stage predicts beside the label; None predicts none."""
    evaluate: EvaluateConfig = EvaluateConfig()
    """The evaluate stage, which reads what the probe stage stored."""
    handmade: dict[str, SensorStatistics] = Field(default_factory=dict)
    """Hand-made features of a sensor stream that needs others than the default; a weak control is a defect."""
    subsets: tuple[Annotated[tuple[str, ...], Field(min_length=1)], ...] | None = None
    """Stream combinations that are probed; None means each stream and all of them."""
    finetune: FinetuneConfig | None = FinetuneConfig()
    """The fine-tune stage; None skips it."""
    leak: LeakConfig = LeakConfig()
    """Declared leaks."""
    tracking: TrackingConfig = TrackingConfig()
    """Where metrics go."""

    @property
    def folder(self) -> Path:
        """The run folder."""
        return Path(self.out or f"runs/{self.name}")

    @property
    def place(self) -> Path | DatasetUrl:
        """The ingested data set."""
        if self.data.mix is not None:
            return parse_place(self.data.mix[0].path)
        return parse_place(self.data.path) if self.data.path else self.folder / "data"

    @property
    def dataset_folder(self) -> Path:
        """The ingested data set where it must be a folder. Raises ConfigError for a URL."""
        if isinstance(self.place, Path):
            return self.place
        raise ConfigError(
            "data can be read from a URL but not written there",
            code="CONFIG_VALUE",
            field="data.path",
            got=str(self.place),
            fix="name a folder in data.path, and copy it there afterwards",
        )

    def places(self) -> list[Path | DatasetUrl]:
        """The data sets that pretraining reads; the first is also the one that is evaluated."""
        return [self.place] if self.data.mix is None else [parse_place(part.path) for part in self.data.mix]

    def absolute(self) -> "Recipe":
        """The same with absolute paths of what is read: workers, and whoever checks the run later, are elsewhere."""
        parts = self.data.mix and tuple(
            part.model_copy(update={"path": str(absolute(parse_place(part.path)))}) for part in self.data.mix
        )
        cache = self.data.cache and str(Path(self.data.cache).expanduser().resolve())
        path = self.data.path and str(absolute(parse_place(self.data.path)))
        root = None if self.data.mix else str(Path(self.data.root or ".").resolve())
        paths = {"mix": parts, "cache": cache, "path": path, "root": root}
        return self.model_copy(update={"data": self.data.model_copy(update=paths)})

    def probed_subsets(self) -> list[tuple[str, ...]]:
        """Stream combinations in report order; the last is every stream (`fused`)."""
        every = tuple(self.streams)
        if self.subsets is not None:
            return [*(s for s in self.subsets if set(s) != set(every)), every]
        return [*((name,) for name in every), every] if len(every) > 1 else [every]

    @model_validator(mode="after")
    def _known_names(self) -> "Recipe":
        if self.regression is not None and self.label is None:
            raise ValueError("regression needs a label beside it: the probe stage is skipped where label is null")
        if self.sequence is not None and self.label is None:
            raise ValueError("sequence needs a label beside it: the probe stage is skipped where label is null")
        if self.pretrained_streams and self.pretrained is None:
            raise ValueError("pretrained_streams needs pretrained, the run that these streams are of")
        named = {"pretrained_streams": tuple(self.pretrained_streams)} | {
            f"subsets.{number}": subset for number, subset in enumerate(self.subsets or ())
        }
        for where, names in {**named, "leak.allow": self.leak.allow, "handmade": tuple(self.handmade)}.items():
            if unknown := sorted(set(names) - set(self.streams)):
                raise ValueError(f"{where} names unknown streams {unknown}; known: {sorted(self.streams)}")
        if taken := sorted(name for name in self.streams if hasattr(nn.ModuleDict, name)):
            raise ValueError(f"streams cannot be called {taken}: torch uses these names itself")
        if set(self.leak.allow) == set(self.streams):
            raise ValueError("leak.allow names every stream: nothing is left to predict the label from")
        return self

    @model_validator(mode="after")
    def _ingested_columns(self) -> "Recipe":
        if (ingest := self.data.ingest) is None:
            return self
        targets = () if self.regression is None else self.regression.targets
        phases = () if self.sequence is None else self.sequence.targets
        for key, name, where, known in (
            *(("regression.targets", target, "labels", ingest.labels) for target in targets),
            *(("sequence.targets", target, "step_labels", ingest.step_labels) for target in phases),
            ("label", self.label, "labels", ingest.labels),
            ("subject", self.subject, "groups", ingest.groups),
            ("evaluate.session", self.evaluate.session, "groups", ingest.groups),
            ("evaluate.identity", self.evaluate.identity, "groups or labels", {**ingest.groups, **ingest.labels}),
        ):
            if name is not None and name not in known:
                near = difflib.get_close_matches(name, known, n=1)
                hint = f"; did you mean {near[0]}?" if near else ""
                raise ValueError(f"{key} {name!r} is none of data.ingest.{where} {sorted(known)}{hint}")
        return self

    @model_validator(mode="after")
    def _mixture(self) -> "Recipe":
        if (self.data.mix is not None) != isinstance(self.pretrain.order, MixtureOrder):
            raise ValueError("data.mix and pretrain.order.kind=mixture belong together")
        return self
