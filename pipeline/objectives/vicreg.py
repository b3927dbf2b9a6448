"""Regularisation without negatives: views agree, every dimension varies, and no two vary together (VICReg).

Axes: B samples, d embedding size.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor
from torch.nn import functional

from pipeline.objectives.info_nce import masked_mean, product
from pipeline.objectives.pairs import Pair, PairedLoss, PairObjective
from pipeline.objectives.spec import Family

_EPSILON = 1e-4


def invariance(first: Tensor, second: Tensor, present: Tensor) -> Tensor:
    """Mean squared difference of the rows (B, d) that are present (arXiv 2105.04906, eq. 5, divided by d)."""
    return masked_mean((first - second).square().mean(dim=1), present)


def spread(z: Tensor, present: Tensor) -> tuple[Tensor, Tensor]:
    """Variance and covariance terms of z (B, d) over the present rows (arXiv 2105.04906, eq. 1 to 4).

    Hinge of the unbiased standard deviation of each dimension at 1, and the squared covariances of different dimensions
    over d. Both are zero with less than two rows, which have no variance.
    """
    rows, count = present[:, None], present.sum()
    mean = torch.where(rows, z, 0.0).sum(dim=0) / count.clamp(min=1)
    centred = torch.where(rows, z - mean, 0.0)
    covariance = product(centred.T, centred) / (count - 1).clamp(min=1)
    variances = covariance.diagonal()
    hinge = functional.relu(1 - (variances + _EPSILON).sqrt()).mean()
    shared = (covariance.square().sum() - variances.square().sum()) / z.shape[1]
    return torch.where(count > 1, hinge, 0.0), torch.where(count > 1, shared, 0.0)


class VicReg(PairObjective):
    """Variance, invariance, covariance (VICReg, arXiv 2105.04906, eq. 6; the variance is the mean of both sides)."""

    family: ClassVar[Family] = "regularisation"

    kind: Literal["vicreg"] = "vicreg"
    """Regularisation without negatives."""
    invariance: float = Field(default=25.0, ge=0)
    """Weight of the squared difference."""
    variance: float = Field(default=25.0, ge=0)
    """Weight of the hinge that keeps the standard deviation of every dimension at 1."""
    covariance: float = Field(default=1.0, ge=0)
    """Weight of the squared covariances of different dimensions."""

    def loss(self, pair: Pair) -> Tensor:
        """Of one pair: a scalar."""
        variance, covariance = spread(pair.first, pair.present)
        other_variance, other_covariance = spread(pair.second, pair.present)
        return (
            self.invariance * invariance(pair.first, pair.second, pair.present)
            + self.variance * (variance + other_variance) / 2
            + self.covariance * (covariance + other_covariance)
        )

    def build(self, streams: Sequence[str]) -> PairedLoss:
        return PairedLoss(streams, self.across, self.loss)
