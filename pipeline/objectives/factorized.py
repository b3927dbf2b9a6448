"""Shared and private halves of an embedding: streams agree in one, views in the other, and the halves stay apart.

Axes: B samples, d embedding size, h = d / 2.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional

from pipeline.objectives.cross import symmetric_info_nce
from pipeline.objectives.info_nce import masked_mean, normalize, precise
from pipeline.objectives.intra import nt_xent
from pipeline.objectives.repel import entries_of
from pipeline.objectives.spec import Family, ObjectiveConfig, Projection
from pipeline.types import Embeddings, LossTerms

Halves = dict[str, Tensor]


def orthogonality(first: Tensor, second: Tensor, present: Tensor) -> Tensor:
    """Mean over the present rows (B, h) of max(0, cos(first, second)) (FOCAL, arXiv 2310.20071)."""
    return masked_mean(functional.relu((normalize(first) * normalize(second)).sum(dim=1)), present)


class FactorizedLoss(nn.Module):
    """Three weighted terms, each a mean over streams or pairs of streams and over views."""

    def __init__(self, streams: Sequence[str], config: "Factorized") -> None:
        super().__init__()
        self.streams, self.config = tuple(streams), config

    def forward(self, embeddings: Embeddings) -> LossTerms:
        halves = {name: precise(embeddings.views[name]).chunk(2, dim=2) for name in self.streams}
        shared = {name: both[0] for name, both in halves.items()}
        private = {name: both[1] for name, both in halves.items()}
        return LossTerms(
            {
                "shared": self._shared(embeddings, shared),
                "private": self.config.private * self._private(embeddings, private),
                "apart": self.config.apart * self._apart(embeddings, shared, private),
            }
        )

    def _shared(self, embeddings: Embeddings, shared: Halves) -> Tensor:
        """Two streams of a sample attract, view by view."""
        losses = []
        for a, b in combinations(self.streams, 2):
            entries = entries_of(embeddings, a, b)
            losses += [
                symmetric_info_nce(first, second, entries=entries, temperature=self.config.temperature)
                for first, second in zip(shared[a], shared[b], strict=False)
            ]
        return torch.stack(losses).mean()

    def _private(self, embeddings: Embeddings, private: Halves) -> Tensor:
        """Two views of a stream attract."""
        losses = []
        for name in self.streams:
            entries = entries_of(embeddings, name)
            losses += [
                nt_xent(first, second, entries=entries, temperature=self.config.temperature)
                for first, second in combinations(private[name], 2)
            ]
        return torch.stack(losses).mean()

    def _apart(self, embeddings: Embeddings, shared: Halves, private: Halves) -> Tensor:
        """A stream's halves, and the private halves of two streams, have nothing in common."""
        present = embeddings.present
        sides = [(shared[name], private[name], present[name]) for name in self.streams]
        sides += [(private[a], private[b], present[a] & present[b]) for a, b in combinations(self.streams, 2)]
        return torch.stack(
            [
                orthogonality(first, second, here)
                for firsts, seconds, here in sides
                for first, second in zip(firsts, seconds, strict=False)
            ]
        ).mean()


class Factorized(ObjectiveConfig):
    """What streams share and what each has for itself, in two halves of the embedding (FOCAL, arXiv 2310.20071).

    Its ranking by time inside of recordings is not part of this.
    """

    family: ClassVar[Family] = "contrastive-instance"

    kind: Literal["factorized"] = "factorized"
    """Cross-modal contrast of the shared half, contrast of views of the private half, and a penalty between them."""
    temperature: float = Field(default=0.1, ge=0.01)
    """Temperature tau of both contrasts."""
    private: float = Field(default=1.0, ge=0)
    """Weight of the contrast of views beside that of streams."""
    apart: float = Field(default=1.0, ge=0)
    """Weight of the positive cosines between halves."""

    @field_validator("projection")
    @classmethod
    def _two_halves(cls, projection: Projection) -> Projection:
        if projection.dim % 2 or projection.dim < 4:
            raise ValueError("projection.dim is split into two halves: take an even number from 4 on")
        return projection

    @property
    def num_views(self) -> int:
        return 2

    @property
    def least_streams(self) -> int:
        return 2

    def build(self, streams: Sequence[str]) -> FactorizedLoss:
        return FactorizedLoss(streams, self)
