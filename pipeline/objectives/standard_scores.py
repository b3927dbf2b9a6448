"""Batch normalisation of gathered embeddings, without parameters, and the option of objectives that compare these.

Axes: N or B samples, V views, d embedding size.
"""

import torch
from torch import Tensor

from pipeline.objectives.spec import ObjectiveConfig

_EPSILON = 1e-5


def standard_scores(z: Tensor, keep: Tensor) -> Tensor:
    """(B, d) with zero mean and unit variance per dimension over the kept rows; the other rows stay finite.

    It is batch normalisation of the gathered embeddings, so that the result is that of any number of workers.
    """
    rows, count = keep[:, None], keep.sum().clamp(min=1)
    mean = torch.where(rows, z, 0.0).sum(dim=0) / count
    variance = torch.where(rows, z - mean, 0.0).square().sum(dim=0) / count
    return (z - mean) * torch.rsqrt(variance + _EPSILON)


def standardized(z: Tensor) -> Tensor:
    """`standard_scores` of each view of samples that are all there, (N, V, d)."""
    everyone = torch.ones(len(z), dtype=torch.bool, device=z.device)
    return standard_scores(z.flatten(1), everyone).view_as(z)


class StandardizedObjective(ObjectiveConfig):
    """Compares embeddings that are normalised over the batch first."""

    standardize: bool = True
    """Give every embedding dimension zero mean and unit variance over the global batch first, as batch normalisation at
    the end of a projector does. Without it embeddings, which of fresh encoders share one large direction, lose rank."""

    def scores(self, z: Tensor, present: Tensor) -> Tensor:
        """What is compared of embeddings (B, d); present: (B,) bool."""
        return standard_scores(z, present) if self.standardize else z

    def compared(self, z: Tensor) -> Tensor:
        return standardized(z) if self.standardize else z
