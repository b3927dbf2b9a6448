"""Proof, step by step, that every worker has made the same labels (the reference copies the bank from rank 0).

Rows of a bank lie on one worker each, and all read the same bits of them; what every worker keeps whole is compared.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor

from pipeline.errors import TrainingHealthError
from pipeline.memory.runtime import Runtime
from pipeline.tensor_digest import tensor_digest
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

    def check(self, runtime: Runtime, step: int, whole: Mapping[str, Iterable[Tensor]]) -> None:
        """Raise TrainingHealthError, on every worker, where they have different digests, or differ in `whole`:
        what -> tensors that each keeps whole. Collective."""
        if runtime.worker.world == 1:
            return
        names = ["pseudo-labels", *whole]
        own = torch.tensor([int(self.value), *(tensor_digest(tensors) for tensors in whole.values())])
        said = from_every_rank(runtime.worker, own.to(runtime.device)).cpu()
        for column, name in enumerate(names):
            found = said[:, column].tolist()
            if len(set(found)) > 1:
                raise TrainingHealthError(
                    f"workers have different {name} at step {step}",
                    code="RANK_DESYNC",
                    field="memory",
                    expected=found[0],
                    got=found,
                    fix="resume from the last checkpoint on workers of one kind, with the same number of threads",
                )
