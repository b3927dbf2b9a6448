"""Which windows of one record overlap in time."""

import numpy as np
import torch
from torch import Tensor


class Spans:
    """table (n, 3) int64 by position: record (-1 = none), start and end in ns (-1 = unknown); the end is excluded."""

    def __init__(self, table: np.ndarray | Tensor, device: torch.device) -> None:
        self.table = torch.as_tensor(table, dtype=torch.int64).to(device)

    def overlap(self, first: Tensor, second: Tensor) -> Tensor:
        """(A, B) bool for positions (A,) and (B,) >= 0: one record and, where all times are known, common time.

        A position overlaps itself.
        """
        a, b = self.table[first], self.table[second]
        found = (a[:, :1] == b[None, :, 0]) & (a[:, :1] >= 0)
        i, j = found.nonzero(as_tuple=True)  # few pairs share a record
        found[i, j] = _in_time(a[i], b[j])
        return found | (first[:, None] == second[None, :])

    def overlap_pairs(self, first: Tensor, second: Tensor) -> Tensor:
        """The same for pairs of positions of one shape (...)."""
        a, b = self.table[first], self.table[second]
        together = (a[..., 0] == b[..., 0]) & (a[..., 0] >= 0) & _in_time(a, b)
        return together | (first == second)


def _in_time(a: Tensor, b: Tensor) -> Tensor:
    unknown = ((a[..., 1:] < 0) | (b[..., 1:] < 0)).any(dim=-1)
    return unknown | ((a[..., 1] < b[..., 2]) & (b[..., 1] < a[..., 2]))
