"""Proof, step by step, that every worker has made the same labels (the reference copies the bank from rank 0)."""

import torch
from torch import Tensor

from pipeline.errors import TrainingHealthError
from pipeline.memory.runtime import Runtime
from pipeline.worker import from_every_rank

_MULTIPLIER = 6364136223846793005


class LabelDigest:
    """A number that every label of every batch goes into."""

    def __init__(self) -> None:
        self.value = torch.zeros((), dtype=torch.int64)

    def add(self, positions: Tensor, labels: Tensor) -> None:
        """Take in labels (B,) at positions (B,)."""
        mixed = (positions + 1) * _MULTIPLIER ^ (labels.long() + 1)
        self.value = self.value * _MULTIPLIER + (mixed * _MULTIPLIER).sum().cpu()

    def check(self, runtime: Runtime, step: int) -> None:
        """Raise TrainingHealthError, on every worker, where they have different digests. Collective."""
        said = from_every_rank(runtime.worker, self.value.to(runtime.device)).tolist()
        if len(set(said)) > 1:
            raise TrainingHealthError(
                f"workers have different pseudo-labels at step {step}",
                code="RANK_DESYNC",
                field="memory",
                expected=said[0],
                got=said,
                fix="resume from the last checkpoint on workers of one kind, with the same number of threads",
            )
