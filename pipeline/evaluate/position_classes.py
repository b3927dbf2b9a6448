"""Classes of positions of an encoded sequence, from those of steps. Axes: B samples, T steps, S positions."""

import torch
from torch import Tensor
from torch.nn import functional


def position_classes(steps: Tensor, stride: int) -> Tensor:
    """(B, T) classes, -1 = unknown -> (B, S) most frequent known class of each run of `stride` steps, -1 without one.

    >>> position_classes(torch.tensor([[2, 0, 2, -1, -1, -1, 1, 0, 0]]), 3).tolist()
    [[2, -1, 0]]
    """
    missing = -steps.shape[1] % stride
    runs = functional.pad(steps, (0, missing), value=-1).unflatten(1, (-1, stride))
    counts = steps.new_zeros(*runs.shape[:2], int(steps.max().clamp(min=0)) + 1)
    counts.scatter_add_(2, runs.clamp(min=0), (runs >= 0).to(counts.dtype))
    return torch.where(counts.any(dim=2), counts.argmax(dim=2), -1)
