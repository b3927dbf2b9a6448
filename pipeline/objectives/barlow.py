"""Redundancy reduction: the cross-correlation of two sides is the identity (Barlow Twins).

Axes: B samples, d embedding size.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.objectives.cross import standard_scores
from pipeline.objectives.info_nce import product
from pipeline.objectives.pairs import Across, Pair, mean_over_pairs, pairs_of, streams_needed, views_needed
from pipeline.objectives.spec import Family, ObjectiveConfig
from pipeline.types import Embeddings, LossTerms


def redundancy(first: Tensor, second: Tensor, present: Tensor, *, scale: float) -> Tensor:
    """sum_i (1 - C_ii)^2 + scale * sum_{i != j} C_ij^2, C the cross-correlation over the present rows (arXiv
    2103.03230, eq. 1 and 2).

    first, second: (B, d). Scalar, zero with less than two rows, which have no correlation.
    """
    a, b = (torch.where(present[:, None], standard_scores(z, present), 0.0) for z in (first, second))
    correlation = product(a.T, b) / present.sum().clamp(min=1)
    own = correlation.diagonal()
    other = correlation.square().sum() - own.square().sum()
    return torch.where(present.sum() > 1, (1 - own).square().sum() + scale * other, 0.0)


class BarlowLoss(nn.Module):
    """One term per stream, or per pair of streams."""

    def __init__(self, streams: Sequence[str], config: "Barlow") -> None:
        super().__init__()
        self.streams, self.config = tuple(streams), config

    def forward(self, embeddings: Embeddings) -> LossTerms:
        return mean_over_pairs(pairs_of(embeddings, self.streams, self.config.across), self._loss)

    def _loss(self, pair: Pair) -> Tensor:
        return redundancy(pair.first, pair.second, pair.present, scale=self.config.redundancy)


class Barlow(ObjectiveConfig):
    """Dimensions of two sides agree with themselves and with no other (Barlow Twins, arXiv 2103.03230)."""

    family: ClassVar[Family] = "regularisation"

    kind: Literal["barlow"] = "barlow"
    """Cross-correlation towards the identity, without negatives."""
    across: Across = "views"
    """What agrees: two views of a stream, or two streams of a sample."""
    redundancy: float = Field(default=5e-3, ge=0)
    """Weight lambda of the correlations of different dimensions."""

    @property
    def num_views(self) -> int:
        return views_needed(self.across)

    @property
    def least_streams(self) -> int:
        return streams_needed(self.across)

    def compared(self, z: Tensor) -> Tensor:
        everyone = torch.ones(len(z), dtype=torch.bool, device=z.device)
        return standard_scores(z.flatten(1), everyone).view_as(z)

    def build(self, streams: Sequence[str]) -> BarlowLoss:
        return BarlowLoss(streams, self)
