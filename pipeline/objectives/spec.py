"""The contract of an objective: a configuration that builds a module from Embeddings to LossTerms."""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal, Protocol

from pydantic import Field

from modalities.spec import Config
from pipeline.types import Embeddings, LossTerms


class Projection(Config):
    """Projector between pooled features and the objective: linear, ReLU, linear (arXiv 2002.05709, section 4.2)."""

    hidden: int = Field(default=256, ge=1)
    """Width of the hidden layer."""
    dim: int = Field(default=128, ge=2)
    """Size d of the embedding the loss sees."""


class Objective(Protocol):
    """A module over the gathered global batch. It never sees rank or world size."""

    def __call__(self, embeddings: Embeddings) -> LossTerms: ...


class ObjectiveConfig(Config):
    """What every objective can be told, and what it tells the model about its needs."""

    reads: ClassVar[Literal["pooled", "moments"]] = "pooled"
    """Which encoder output is projected: one vector per sample, or the sequence of moments."""
    num_views: ClassVar[int] = 1
    """Augmented views it needs of each stream it reads."""
    needs_time: ClassVar[bool] = False
    """True when position t of every view must show moment t, so augmentations that move time are refused."""

    weight: float = Field(default=1.0, gt=0)
    """Weight in the total, sum(weight * loss) / sum(weight)."""
    streams: tuple[str, ...] | None = None
    """Streams it reads; None means every stream it can read."""
    projection: Projection = Projection()
    """Projector of this objective, one per stream."""

    @abstractmethod
    def build(self, streams: Sequence[str]) -> Objective:
        """The module for these streams."""
