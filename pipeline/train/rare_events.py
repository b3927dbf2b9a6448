"""What should be rare in training, counted: steps skipped for their gradient, batches in which nobody has a stream.

Every rank counts the same, from what is gathered; the counts go with the checkpoint.
"""

import math
from collections.abc import Mapping

from torch import Tensor

from pipeline.errors import TrainingHealthError

SKIPPED, IN_A_ROW = "skipped_steps", "skipped_in_a_row"

MOST_IN_A_ROW = 3
"""Gradients in a row that are not finite and are skipped; one more ends the run."""


class RareEvents:
    """Counts by name; nothing that never happened has an entry."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}

    def _count(self, name: str) -> int:
        self.counts[name] = self.counts.get(name, 0) + 1
        return self.counts[name]

    def may_step(self, norm: float, *, step: int) -> bool:
        """Whether a gradient of this norm may change the weights. Raises TrainingHealthError after too many that are
        not finite."""
        if math.isfinite(norm):
            self.counts.pop(IN_A_ROW, None)
            return True
        self._count(SKIPPED)
        if self._count(IN_A_ROW) > MOST_IN_A_ROW:
            raise TrainingHealthError(
                f"the gradient is not finite at step {step}, nor at the {MOST_IN_A_ROW} steps before",
                code="NONFINITE_GRADIENT",
                field="gradient_norm",
                expected=f"at most {MOST_IN_A_ROW} such steps in a row, which are skipped",
                got={"norm": str(norm), "skipped_steps": self.counts[SKIPPED]},
                fix="lower the learning rate or inspect the data; the last checkpoint is finite",
            )
        return False

    def see(self, outputs: Mapping[str, Tensor]) -> None:
        """Count the streams that no sample of a global batch has; outputs: "present/<stream>" (B,) bool and others."""
        for name, tensor in outputs.items():
            kind, _, stream = name.partition("/")
            if kind == "present" and not bool(tensor.any()):
                self._count(f"absent_batches/{stream}")

    def metrics(self) -> dict[str, float]:
        """The counts as metrics "counts/<name>"."""
        return {f"counts/{name}": float(count) for name, count in self.counts.items()}
