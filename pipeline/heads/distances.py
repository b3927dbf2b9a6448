"""Distances between all rows of a batch.

Axes: B samples, D features.
"""

import torch
from torch import Tensor


def euclidean(z: Tensor) -> Tensor:
    """(B, B) distances of the rows of z (B, D), with gradient 0 where two rows are equal.

    In float64 inside: as a difference of squares, float32 loses the distance of near rows.
    """
    wide = z.double()
    squares = wide.square().sum(dim=1)
    squared = squares[:, None] + squares - 2 * wide @ wide.T
    apart = squared > torch.finfo(torch.float64).eps * (squares[:, None] + squares)
    return torch.where(apart, torch.where(apart, squared, 1.0).sqrt(), 0.0).to(z.dtype)
