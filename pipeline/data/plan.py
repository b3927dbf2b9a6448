"""The order of samples: a pure function of (sample numbers, seed, epoch, step)."""

from typing import Literal

import numpy as np
import torch

from modalities.draws import Draws
from pipeline.errors import ConfigError


class Plan:
    """Batches of a keyed shuffle: sort the samples by a hash of (seed, epoch, idx) and cut.

    Each sample occurs exactly once per epoch; the last partial batch is dropped, or padded with samples from the
    epoch's beginning. Neither the order of `idx` nor the number of workers plays a part.
    """

    def __init__(self, idx: np.ndarray, *, batch_size: int, seed: int, last: Literal["drop", "pad"] = "drop") -> None:
        self._idx = np.unique(np.asarray(idx, np.int64))
        self.batch_size, self.seed, self.last = batch_size, seed, last
        if len(self._idx) != len(idx):
            raise ConfigError("sample numbers repeat", code="CONFIG_VALUE", expected=len(self._idx), got=len(idx))
        if not 0 < batch_size <= len(self._idx):
            raise ConfigError(
                f"a batch of {batch_size} from {len(self._idx)} samples",
                code="CONFIG_VALUE",
                field="batch_size",
                expected=f"1..{len(self._idx)}",
                got=batch_size,
                fix="lower batch_size, or train on more samples",
            )
        self._cached: tuple[int, np.ndarray] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Batches in an epoch."""
        full, rest = divmod(len(self._idx), self.batch_size)
        return full + (self.last == "pad" and rest > 0)

    def batch(self, epoch: int, step: int) -> np.ndarray:
        """Sample numbers (batch_size,) int64. Raises IndexError for a step outside the epoch."""
        if not 0 <= step < self.steps_per_epoch:
            raise IndexError(f"step {step} of {self.steps_per_epoch}")
        order = self._order(epoch)
        return order[np.arange(step * self.batch_size, (step + 1) * self.batch_size) % len(order)]

    def _order(self, epoch: int) -> np.ndarray:
        """Sample numbers in the order of an epoch; the latest is kept, because a run asks for it step by step."""
        cached = self._cached
        if cached is None or cached[0] != epoch:
            keys = Draws.keyed(torch.from_numpy(self._idx), seed=self.seed, purpose="order", epoch=epoch).keys
            cached = self._cached = (epoch, self._idx[np.argsort(keys.numpy(), kind="stable")])
        return cached[1]
