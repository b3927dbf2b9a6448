"""Batch normalisation of gathered embeddings, without parameters.

Axes: N or B samples, V views, d embedding size.
"""

import torch
from torch import Tensor

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
