"""Positions of a sensor encoder's sequence as equal stretches of time.

Axes: B samples, C channels, T steps, S positions, P values of a patch.
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn import functional

from modalities.sensor.layers import Normalize
from modalities.sensor.masking import observed_mask
from modalities.spec import Patches, Signal


@dataclass(frozen=True)
class TimePatching:
    """Position s stands for all channels at the steps from s * steps up to the next position."""

    share: ClassVar[float] = 0.4
    stretch: ClassVar[int] = 4  # neighbours in time give single positions away

    normalize: Normalize
    steps: int

    @property
    def width(self) -> int:
        return self.steps * len(self.normalize.mean)

    @property
    def categories(self) -> None:
        """Patches are values."""
        return

    def patches(self, signal: Signal) -> Patches:
        """Standard scores, channel after channel; the last position is filled up with unknown steps."""
        scores, mask = self.normalize.scores(signal)
        known = mask & signal.present[:, None, None]
        return Patches(self._split(scores), self._split(known))

    def _split(self, series: Tensor) -> Tensor:
        missing = -series.shape[2] % self.steps
        return functional.pad(series, (0, missing)).unflatten(2, (-1, self.steps)).transpose(1, 2).flatten(2)

    def hide(self, signal: Signal, positions: Tensor) -> Signal:
        """All steps of a hidden position look the same, so that gaps in what is asked for are not given away."""
        hidden = positions.repeat_interleave(self.steps, dim=1)[:, : signal.values.shape[2]]
        mask = observed_mask(signal) & ~hidden[:, None]
        return Signal(torch.where(mask, signal.values, 0.0), mask, signal.present, hidden)
