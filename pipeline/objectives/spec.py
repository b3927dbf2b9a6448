"""The contract of an objective: a configuration that builds a module from Embeddings to LossTerms."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol, runtime_checkable

from pydantic import Field, field_validator
from torch import Tensor

from modalities.spec import Config
from pipeline.types import Embeddings, LossTerms

Family = Literal[
    "pretext",
    "contrastive-instance",
    "contrastive-predictive",
    "contrastive-neighbourhood",
    "clustering",
    "regularisation",
    "relational",
]
Source = Literal["pooled", "moments", "patches", "transforms", "original", "memory"]
Need = Literal["mined", "clusters", "links", "keys"]
_LEAST_WEIGHT = 1e-6


class Projection(Config):
    """Projector between pooled features and the objective: linear, ReLU, linear (arXiv 2002.05709, section 4.2)."""

    hidden: int = Field(default=256, ge=1)
    """Width of the hidden layer."""
    dim: int = Field(default=128, ge=2)
    """Size d of the embedding the loss sees; what guesses patches of values has their size instead."""


class Objective(Protocol):
    """A module over the gathered global batch. It never sees rank or world size.

    No terms at all mean that it is not active yet, because what it needs is not there.
    """

    def __call__(self, embeddings: Embeddings) -> LossTerms: ...


@runtime_checkable
class Monitored(Protocol):
    """An objective with figures of its own beside the loss."""

    def monitors(self, embeddings: Embeddings) -> dict[str, float]:
        """Figures of the global batch, by name; none where the objective is not active."""
        ...


class ObjectiveConfig(Config):
    """What every objective can be told, and what it tells the model about its needs."""

    family: ClassVar[Family]
    """How it teaches, in the terms of surveys of self-supervision."""

    weight: float = Field(default=1.0, ge=0, le=1e6)
    """Weight in the total, sum(weight * loss) / sum(weight) over the active objectives; 0 leaves it out."""
    streams: tuple[str, ...] | None = Field(default=None, min_length=1)
    """Streams it reads; None means every stream it can read."""
    projection: Projection = Projection()
    """Projector of this objective, one per stream."""

    @field_validator("weight")
    @classmethod
    def _weight_shows(cls, weight: float) -> float:
        if 0 < weight < _LEAST_WEIGHT:
            raise ValueError(f"a weight above 0 is at least {_LEAST_WEIGHT:g}")
        return weight

    @field_validator("streams")
    @classmethod
    def _streams_once(cls, streams: tuple[str, ...] | None) -> tuple[str, ...] | None:
        if streams is not None and len(set(streams)) != len(streams):
            raise ValueError("a stream is named twice")
        return streams

    @property
    def num_views(self) -> int:
        """Views it needs of each stream it reads: augmented ones, unless it reads something else."""
        return 1

    @property
    def needs_time(self) -> bool:
        """Whether position t of every view must show moment t, so that augmentations that move time are refused."""
        return False

    @property
    def least_streams(self) -> int:
        """Streams without which it has nothing to compare."""
        return 1

    @property
    def reads(self) -> Source:
        """What it compares: one projected vector per sample, projected moments, guesses of hidden patches
        (`Reconstruction`), one projected vector per transform (`Transformations`), one of the signal as it is and one
        of an augmented view (`Consistency`), or the vectors the memory is filled with, in which case it has no
        projector of its own."""
        return "pooled"

    @property
    def needs(self) -> frozenset[Need]:
        """What else `Embeddings` must hold for it."""
        return frozenset()

    @property
    def related(self) -> str | None:
        """Name of the relation whose links it reads."""
        return None

    def compared(self, z: Tensor) -> Tensor:
        """What the loss compares of the projected vectors (N, V, d) of one stream: collapse is judged on that."""
        return z

    @abstractmethod
    def build(self, streams: Sequence[str]) -> Objective:
        """The module for these streams."""
