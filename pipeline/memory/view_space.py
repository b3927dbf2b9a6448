"""One space of rows: those of a stream, or the fused rows of all streams, with its pseudo-labels."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pipeline.errors import CheckpointError
from pipeline.memory.bank import FeatureBank
from pipeline.memory.pseudo_labels import PseudoLabels

FUSED = "fused"
Part = Callable[[str], Mapping[str, Tensor]]
"""Reads one file of a checkpoint by name."""


def fuse(rows: Mapping[str, Tensor], present: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
    """Normalised sum (B, d) of the unit rows of the streams that are present, and whether any is (B,).

    rows: stream -> (B, d) of any length; present: stream -> (B,) bool.
    """
    total = torch.stack([functional.normalize(r.float(), dim=1) * present[s][:, None] for s, r in rows.items()]).sum(0)
    return functional.normalize(total, dim=1), torch.stack([present[s] for s in rows]).any(dim=0)


class ViewSpace:
    """A bank and its pseudo-labels at G granularities."""

    def __init__(self, name: str, bank: FeatureBank, granularities: list[PseudoLabels]) -> None:
        self.name, self.bank, self.granularities = name, bank, granularities

    def write(self, positions: Tensor, rows: Tensor, step: int) -> None:
        """Write rows (B, d) at positions (B,) and relabel them. Collective."""
        written = self.bank.write(positions, rows, step)
        for labels in self.granularities:
            labels.update(written)

    def labels(self) -> np.ndarray:
        """Cluster numbers (n,) int64 at the first granularity, -1 where there are none."""
        assignment = self.granularities[0].assignment
        if assignment is None:
            return np.full(self.bank.num_rows, -1, np.int64)
        return assignment.labels.cpu().numpy().astype(np.int64)

    def tensors(self, prefix: str) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Checkpoint parts, the same on every worker. Collective: every worker takes all of them."""
        for name, part in self.bank.state_blocks():
            yield f"{prefix}_{name}", part
        for number, labels in enumerate(self.granularities):
            yield f"{prefix}_labels_{number}", labels.tensors()

    def load(self, prefix: str, part: Part) -> None:
        """Inverse of `tensors` at any number of workers. Raises CheckpointError where a part does not fit."""
        self.bank.load_blocks(lambda name: part(f"{prefix}_{name}"))
        for number, labels in enumerate(self.granularities):
            tensors = part(f"{prefix}_labels_{number}")
            if "labels" in tensors and len(tensors["labels"]) != self.bank.num_rows:
                raise CheckpointError(
                    f"the checkpoint has labels of other samples in {self.name}",
                    code="CKPT_INCOMPATIBLE",
                    field=f"{prefix}_labels_{number}",
                    expected=self.bank.num_rows,
                    got=len(tensors["labels"]),
                    fix="use the data it was trained with, or start anew with --fork NAME",
                )
            labels.load(tensors)
