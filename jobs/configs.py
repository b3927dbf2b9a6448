"""The recipe: one YAML file describes a whole run, from raw files to a fine-tuned classifier."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from jobs.planted.config import PlantedConfig
from modalities.catalogue import AnySchema, AnyStream
from modalities.spec import Config
from pipeline.data.description import Description
from pipeline.evaluate.probe import ProbeConfig
from pipeline.evaluate.sensor_statistics import SensorStatistics
from pipeline.objectives.catalogue import AnyObjective
from pipeline.train.loop import FitConfig
from pipeline.train.optim import OptimConfig

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


class DataConfig(Config):
    """Where the data is."""

    generate: Annotated[PlantedConfig | BundledConfig, Field(discriminator="kind")] | None = None
    """Write the raw files first, into `<out>/raw`; None means they exist in `root`."""
    root: str | None = None
    """Folder of the raw files."""
    path: str | None = None
    """Folder of the ingested data set; None means `<out>/data`."""
    ingest: IngestConfig | None = None
    """Description of the raw files; None means `path` is already ingested."""


class PretrainConfig(FitConfig):
    """Self-supervised pretraining."""

    workers: int = Field(default=2, ge=0)
    """Ray Train workers; 0 trains in this process without Ray."""
    threads: int = Field(default=1, ge=1)
    """CPU threads per worker; part of what makes bits repeat."""
    gpus: float = Field(default=0, ge=0)
    """GPUs per worker."""
    max_failures: int = Field(default=3, ge=0)
    """Restarts after a lost worker before the job gives up."""
    last: Literal["drop", "pad"] = "drop"
    """What happens to the last partial batch of an epoch."""


class FinetuneConfig(FitConfig):
    """Training the encoders with labels, and the same network from scratch as its control."""

    optim: OptimConfig = OptimConfig(learning_rate=5e-4)
    """Optimiser of the head; encoder blocks get layer-wise smaller rates."""
    epochs: int = Field(default=10, ge=1)
    """Most passes over the labelled samples."""
    batch_size: int = Field(default=64, ge=2)
    """Samples in a batch."""
    micro_batches: int = Field(default=1, ge=1)
    """Canonical micro-batches."""
    layer_decay: float = Field(default=0.75, gt=0, le=1)
    """Learning rate of a block relative to the one above it."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Label smoothing of the cross-entropy."""
    percents: tuple[float, ...] = (100.0,)
    """Label fractions, in percent of the labelled training split."""
    augment: bool = True
    """Train on augmented views."""
    supervised_control: bool = True
    """Also train from random weights at the same budget."""


class LeakConfig(Config):
    """What may leak, declared on purpose."""

    allow: tuple[str, ...] = ()
    """Streams that are known to show the label; they are named in every report."""


class TrackingConfig(Config):
    """MLflow."""

    experiment: str | None = None
    """MLflow experiment; None means the recipe's name."""
    uri: str | None = None
    """Tracking URI; None means MLFLOW_TRACKING_URI or a SQLite file in the working folder."""
    required: bool = False
    """Fail the command when something could not be delivered; otherwise that is a warning and `kindred sync` helps."""


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
    streams: dict[Annotated[str, Field(pattern=STREAM_NAME)], AnyStream]
    """Augmentation and encoder of each stream that takes part."""
    objectives: tuple[AnyObjective, ...] = Field(min_length=1)
    """What pretraining minimises, weighted."""
    pretrain: PretrainConfig = PretrainConfig()
    """The pretraining stage."""
    probe: ProbeConfig = ProbeConfig()
    """The probe stage."""
    handmade: dict[str, SensorStatistics] = Field(default_factory=dict)
    """Hand-made features of a sensor stream that needs others than the default; a weak control is a defect."""
    subsets: tuple[tuple[str, ...], ...] | None = None
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
    def dataset_folder(self) -> Path:
        """The ingested data set."""
        return Path(self.data.path) if self.data.path else self.folder / "data"

    def probed_subsets(self) -> list[tuple[str, ...]]:
        """Stream combinations in report order; the last is every stream (`fused`)."""
        every = tuple(self.streams)
        if self.subsets is not None:
            return [*(s for s in self.subsets if set(s) != set(every)), every]
        return [*((name,) for name in every), every] if len(every) > 1 else [every]

    @model_validator(mode="after")
    def _known_names(self) -> "Recipe":
        for subset in self.subsets or ():
            unknown = sorted(set(subset) - set(self.streams))
            if unknown:
                raise ValueError(f"subsets names unknown streams {unknown}; known: {sorted(self.streams)}")
        return self
