"""The study file: which variants of one recipe are run with which seeds, and what chooses between them."""

import itertools
import json
import re
from collections import Counter
from collections.abc import Mapping
from typing import Annotated, Literal, TypeAlias

from pydantic import Field, JsonValue, field_validator, model_validator

from modalities.spec import Config

StudiedStage: TypeAlias = Literal["relations", "pretrain", "probe", "evaluate", "finetune", "report"]
_ORDER: tuple[StudiedStage, ...] = ("relations", "pretrain", "probe", "evaluate", "finetune", "report")
VARIANT_NAME = r"^[A-Za-z0-9][A-Za-z0-9_.+=-]{0,119}$"
VALIDATION_METRIC = re.compile(
    r"probe/[^/]+/(linear/[0-9.]+/validation_loss|knn/[0-9.]+/validation_accuracy)|finetune/[0-9.]+/validation_accuracy"
)
"""Metrics of groups that were held out of training and are not the test split."""
_OWN = ("out", "seed")
TRUNK = "shared"
"""What the runs are called that variants branch from."""


class SelectConfig(Config):
    """How the best variant is chosen: by the mean over seeds of a metric that the test split has no part in."""

    metric: str
    """Name in `result.json`, e.g. probe/fused/linear/10/validation_loss or finetune/100/validation_accuracy."""
    mode: Literal["max", "min"]
    """Whether the largest or the smallest mean is the best."""

    @field_validator("metric")
    @classmethod
    def _of_validation(cls, metric: str) -> str:
        if not VALIDATION_METRIC.fullmatch(metric):
            raise ValueError(
                "no metric of held-out training groups or of the validation split; what is chosen by the test split "
                "cannot be tested on it. Name probe/STREAMS/linear/PERCENT/validation_loss, "
                "probe/STREAMS/knn/PERCENT/validation_accuracy or finetune/PERCENT/validation_accuracy"
            )
        return metric

    @property
    def stage(self) -> str:
        """The stage that measures it."""
        return self.metric.partition("/")[0]


class StudyConfig(Config):
    """Runs of one recipe that differ in what their variant overrides, each with every seed."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=80)
    """Name of the study in folders and tracking."""
    description: str = ""
    """What is asked, for the table."""
    recipe: str = Field(min_length=1)
    """The recipe, relative to the study file."""
    overrides: tuple[str, ...] = ()
    """KEY=VALUE of the recipe for every run."""
    stages: tuple[StudiedStage, ...] = Field(default=("pretrain", "probe"), min_length=1)
    """What is done in each run. Data is ingested once for all runs whose `data` sections are equal."""
    first_variant_stages: tuple[StudiedStage, ...] = ()
    """Stages that the first variant alone does besides, for a control that all can be compared with: finetune trains
    one from scratch."""
    branch_at: Literal["probe", "finetune"] | None = None
    """The first stage that variants differ in. What comes before it is done once a seed, by the recipe without any
    variant, and every variant goes on from those weights. None: each run does all stages."""
    seeds: tuple[Annotated[int, Field(ge=0)], ...] = Field(default=(0, 1, 2), min_length=1)
    """Seeds of every variant."""
    variants: dict[Annotated[str, Field(pattern=VARIANT_NAME)], tuple[str, ...]] = Field(default_factory=dict)
    """Name -> KEY=VALUE of the recipe; the others are compared with the first."""
    grid: dict[str, Annotated[tuple[JsonValue, ...], Field(min_length=1)]] = Field(default_factory=dict)
    """Key of the recipe -> its values; every combination of them is a variant, of each variant where some are named."""
    out: str | None = None
    """Folder of the study; None means `runs/<name>`."""
    at_once: int = Field(default=1, ge=1)
    """Runs at a time: 1 works in this process, more are trials of Ray Tune, whose recipes need pretrain.workers=0."""
    select: SelectConfig | None = None
    """How the best variant is chosen; None chooses none."""

    @field_validator("overrides", "variants")
    @classmethod
    def _leaves_own_keys(cls, given: tuple[str, ...] | dict[str, tuple[str, ...]]) -> object:
        texts = given if isinstance(given, tuple) else itertools.chain(*given.values())
        if taken := sorted({key for text in texts if (key := text.partition("=")[0]) in _OWN}):
            raise ValueError(f"{' and '.join(taken)} of the recipe are set by the study: use its `out` and `seeds`")
        return given

    @field_validator("stages", "first_variant_stages")
    @classmethod
    def _in_order(cls, stages: tuple[StudiedStage, ...]) -> tuple[StudiedStage, ...]:
        return tuple(name for name in _ORDER if name in stages)

    @model_validator(mode="after")
    def _complete(self) -> "StudyConfig":
        if not self.variants and not self.grid:
            raise ValueError("variants and grid are empty: there is nothing to compare")
        if len(set(self.seeds)) < len(self.seeds):
            raise ValueError(f"seeds {list(self.seeds)} name one twice")
        if twice := {*self.stages} & {*self.first_variant_stages}:
            raise ValueError(f"first_variant_stages names {sorted(twice)}, which every variant does")
        if self.branch_at is not None and not {"pretrain", self.branch_at} <= {*self.stages}:
            raise ValueError(f"branch_at needs the stages pretrain and {self.branch_at}, got {list(self.stages)}")
        if self.select is not None and self.select.stage not in self.branch_stages:
            raise ValueError(f"select.metric is measured by the stage {self.select.stage}, which no variant runs")
        names = [name for name, _ in self._combined()]
        if self.branch_at is not None and TRUNK in names:
            raise ValueError(f"no variant can be called {TRUNK!r}: the stages that all have in common are")
        if unclear := [name for name, count in Counter(names).items() if count > 1 or not re.match(VARIANT_NAME, name)]:
            raise ValueError(f"grid values make no names of their own: {unclear[:4]}; write them as variants")
        return self

    @property
    def trunk_stages(self) -> tuple[StudiedStage, ...]:
        """Those done once a seed; none where each run does all."""
        return () if self.branch_at is None else self.stages[: self.stages.index(self.branch_at)]

    @property
    def branch_stages(self) -> tuple[StudiedStage, ...]:
        """Those of every run."""
        return self.stages[len(self.trunk_stages) :]

    def stages_of(self, variant: str) -> tuple[StudiedStage, ...]:
        """Those of the runs of a variant."""
        is_first = variant == next(iter(self.all_variants()))
        return self._in_order((*self.branch_stages, *(self.first_variant_stages if is_first else ())))

    def all_variants(self) -> dict[str, tuple[str, ...]]:
        """Overrides of every variant by name, the grid's combinations among them."""
        return dict(self._combined())

    def _combined(self) -> list[tuple[str, tuple[str, ...]]]:
        short = _short_names(self.grid)
        points = [dict(zip(self.grid, values, strict=True)) for values in itertools.product(*self.grid.values())]
        combined = []
        for name, overrides in (self.variants or {"": ()}).items():
            for point in points:
                parts = [name, *(f"{short[key]}={_slug(value)}" for key, value in point.items())]
                given = tuple(f"{key}={json.dumps(value)}" for key, value in point.items())
                combined.append(("-".join(part for part in parts if part), (*overrides, *given)))
        return combined


def _short_names(keys: Mapping[str, object]) -> dict[str, str]:
    """The last part of each key, or all of it where two end alike."""
    last = {key: key.rpartition(".")[2] for key in keys}
    count = Counter(last.values())
    return {key: name if count[name] == 1 else key for key, name in last.items()}


def _slug(value: JsonValue) -> str:
    return re.sub(r"[^A-Za-z0-9.+]+", "_", json.dumps(value)).strip("_")
