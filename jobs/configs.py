"""The recipe: one YAML file describes a whole run, from raw files to a fine-tuned classifier."""

import difflib
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator
from torch import nn

from jobs.data_config import DataConfig
from jobs.tracking_config import TrackingConfig
from modalities.catalogue import AnyStream
from modalities.spec import Config
from pipeline.data.order_config import AnyOrder, MixtureOrder, ShuffleOrder
from pipeline.data.place import DatasetUrl, absolute, parse_place
from pipeline.errors import ConfigError
from pipeline.evaluate.evaluate_config import EvaluateConfig
from pipeline.evaluate.finetune_config import FinetuneConfig
from pipeline.evaluate.multi_label_config import MultiLabelConfig
from pipeline.evaluate.probe_config import ProbeConfig
from pipeline.evaluate.regression_config import RegressionConfig
from pipeline.evaluate.sensor_statistics import SensorStatistics
from pipeline.evaluate.sequence_config import SequenceConfig
from pipeline.memory.config import MemoryConfig
from pipeline.objectives.catalogue import AnyObjective
from pipeline.relations.config import AnyRelation
from pipeline.train.fit_config import FitConfig
from pipeline.train.mirror_config import MirrorConfig

STREAM_NAME = r"^[a-z][a-z0-9_]*$"


class PretrainConfig(FitConfig):
    """Self-supervised pretraining."""

    workers: int = Field(default=2, ge=0)
    """Ray Train workers; 0 trains in this process without Ray."""
    min_workers: int | None = Field(default=None, ge=1)
    """Fewest workers to go on with while the cluster has no room for all; the group grows again when it has. The same
    bits with any number. Default: waits for all."""
    threads: int = Field(default=1, ge=1, le=1024)
    """CPU threads per worker; part of what makes bits repeat."""
    gpus: float = Field(default=0, ge=0)
    """GPUs per worker: a part of one, or a whole number."""
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

    @model_validator(mode="after")
    def _gpus_that_can_be_dealt(self) -> "PretrainConfig":
        if 0 < self.gpus < 1e-4 or (self.gpus > 1 and not self.gpus.is_integer()):
            raise ValueError(f"gpus is {self.gpus:g}: a worker gets whole GPUs, or a part of one from 0.0001 on")
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
    """Numbers that probes and fine-tuning predict, beside the label or without one; None predicts none."""
    multi_label: MultiLabelConfig | None = None
    """Sets of tags that probes and fine-tuning predict, beside the label or without one; None predicts none."""
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

    @property
    def aliases(self) -> dict[str, str]:
        """Stream -> stream of the data set that it takes, where their names differ."""
        return {name: of for name, stream in self.streams.items() if (of := stream.of) is not None and of != name}

    def distinct_streams(self) -> list[str]:
        """Streams without those that take what one before them takes."""
        found = {self.aliases.get(name, name): name for name in reversed(self.streams)}
        return [name for name in self.streams if name in found.values()]

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

    @property
    def is_probed(self) -> bool:
        """Whether there is anything to predict from frozen features."""
        return any(each is not None for each in (self.label, self.regression, self.multi_label))

    def label_targets(self) -> list[tuple[str, str]]:
        """(key, label column) of what is predicted beside the label."""
        asked = {"regression": self.regression, "multi_label": self.multi_label}
        return [(f"{name}.targets", target) for name, config in asked.items() if config for target in config.targets]

    def step_targets(self) -> tuple[str, ...]:
        """Step labels that are predicted."""
        return () if self.sequence is None else self.sequence.targets

    def step_labels(self) -> list[tuple[str, str]]:
        """(key, step label) of what is predicted of single steps, or learned from."""
        steps_of = None if self.finetune is None else self.finetune.head.steps_of
        learned = [] if steps_of is None else [("finetune.head.step_label", steps_of)]
        return [*(("sequence.targets", target) for target in self.step_targets()), *learned]

    def probed_subsets(self) -> list[tuple[str, ...]]:
        """Stream combinations in report order; the last is every stream (`fused`)."""
        every = tuple(self.streams)
        if self.subsets is not None:
            return [*(s for s in self.subsets if set(s) != set(every)), every]
        return [*((name,) for name in every), every] if len(every) > 1 else [every]

    @model_validator(mode="after")
    def _known_names(self) -> "Recipe":
        if self.probe.mini_rocket is not None and all(stream.kind != "sensor" for stream in self.streams.values()):
            raise ValueError("probe.mini_rocket reads sensor streams, and there are none")
        if self.sequence is not None and self.label is None:
            raise ValueError("sequence needs a label beside it, whose label shares it takes")
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
        for key, name, where, known in (
            *((key, target, "labels", ingest.labels) for key, target in self.label_targets()),
            *((key, name, "step_labels", ingest.step_labels) for key, name in self.step_labels()),
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
