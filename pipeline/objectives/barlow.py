"""Redundancy reduction: the cross-correlation of two sides is the identity (Barlow Twins).

Axes: B samples, d embedding size.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from pipeline.objectives.info_nce import product
from pipeline.objectives.pairs import Pair, PairedLoss, PairObjective
from pipeline.objectives.spec import Family
from pipeline.objectives.standard_scores import standard_scores, standardized


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


class Barlow(PairObjective):
    """Dimensions of two sides agree with themselves and with no other (Barlow Twins, arXiv 2103.03230)."""

    family: ClassVar[Family] = "regularisation"

    kind: Literal["barlow"] = "barlow"
    """Cross-correlation towards the identity, without negatives."""
    redundancy: float = Field(default=5e-3, ge=0)
    """Weight lambda of the correlations of different dimensions."""

    def compared(self, z: Tensor) -> Tensor:
        return standardized(z)

    def loss(self, pair: Pair) -> Tensor:
        """Of one pair: a scalar."""
        return redundancy(pair.first, pair.second, pair.present, scale=self.redundancy)

    def build(self, streams: Sequence[str]) -> PairedLoss:
        return PairedLoss(streams, self.across, self.loss)
