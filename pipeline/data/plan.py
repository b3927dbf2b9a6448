"""The plain plan: the order of samples as a pure function of (rows, seed, epoch, step)."""

from typing import Literal, Protocol

import numpy as np

from pipeline.data.order_config import ShuffleOrder
from pipeline.data.rows import Rows, rows_of
from pipeline.data.shuffle import Shuffle
from pipeline.errors import ConfigError


class Order(Protocol):
    """A plan: a pure function from (epoch, step) to the sample numbers (B,) int64 of a global batch."""

    @property
    def steps_per_epoch(self) -> int: ...

    def batch(self, epoch: int, step: int) -> np.ndarray: ...


class Plan:
    """Batches of a keyed block shuffle.

    Each sample occurs exactly once per epoch; the last partial batch is dropped, or padded with samples from the
    epoch's beginning. A batch is computed from its number alone, so a run starts and resumes anywhere at once, and
    the number of workers plays no part.
    """

    def __init__(
        self,
        rows: np.ndarray | Rows,
        *,
        batch_size: int,
        seed: int,
        last: Literal["drop", "pad"] = "drop",
        order: ShuffleOrder | None = None,
    ) -> None:
        self.rows = rows_of(rows) if isinstance(rows, np.ndarray) else rows
        self.batch_size, self.last = batch_size, last
        self._shuffle = Shuffle(self.rows, seed=seed, order=order or ShuffleOrder())
        if not 0 < batch_size <= len(self.rows):
            raise ConfigError(
                f"a batch of {batch_size} from {len(self.rows)} samples",
                code="CONFIG_VALUE",
                field="batch_size",
                expected=f"1..{len(self.rows)}",
                got=batch_size,
                fix="lower batch_size, or train on more samples",
            )

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        full, rest = divmod(len(self.rows), self.batch_size)
        return full + (self.last == "pad" and rest > 0)

    def batch(self, epoch: int, step: int) -> np.ndarray:
        """Sample numbers (batch_size,) int64. Raises IndexError for a step outside the epoch."""
        if not 0 <= step < self.steps_per_epoch:
            raise IndexError(f"step {step} of {self.steps_per_epoch}")
        positions = np.arange(step * self.batch_size, (step + 1) * self.batch_size, dtype=np.int64)
        return self._shuffle.at(epoch, positions % len(self.rows))
