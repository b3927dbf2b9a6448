"""Masked modelling: random stretches of the signal are hidden, the rest tells what they held.

Axes: B samples, S positions, K stretches.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from modalities.draws import Draws
from modalities.spec import Patching
from pipeline.objectives.reconstruction import Reconstruction


def random_stretches(real: Tensor, draws: Draws, *, share: float, stretch: int) -> Tensor:
    """(B, S) bool: a share of the real positions (B, S), in stretches that begin anywhere.

    At least one stretch is hidden and one stays visible; nothing is hidden of a sample that is a single stretch.
    """
    size = real.shape[1]
    number = (torch.arange(size, device=real.device) + draws.integers(0, stretch, 1)) // stretch
    stretches = torch.arange((size + stretch - 2) // stretch + 1, device=real.device)
    there = ((number[:, :, None] == stretches) & real[:, :, None]).any(dim=1)
    lots = draws.uniform(len(stretches)).masked_fill(~there, 2.0)
    rank = lots.argsort(dim=1, stable=True).argsort(dim=1)
    count = there.sum(dim=1, keepdim=True)
    chosen = torch.minimum((count * share).round().clamp(min=1), count - 1)
    return real & (rank < chosen).gather(1, number)


class Masked(Reconstruction):
    """Hidden stretches are rebuilt from what surrounds them, or from another stream: readings and pixels by the squared
    error (arXiv 2010.02803; arXiv 2111.06377), tokens by cross-entropy (arXiv 1810.04805)."""

    kind: Literal["masked"] = "masked"
    """Masked modelling: squared error of hidden patches of series and images, cross-entropy of hidden tokens."""
    share: float | None = Field(default=None, gt=0, lt=1)
    """Share of the signal that is hidden; None: 0.4 of a series, 0.75 of an image, 0.15 of a text."""
    stretch: int | None = Field(default=None, ge=1)
    """Positions of the encoder's sequence hidden in a row, so many that their neighbours do not give them away; None: 4
    of a series, 1 of an image or text."""

    def hidden(self, real: Tensor, draws: Draws, usual: Patching) -> Tensor:
        share = usual.share if self.share is None else self.share
        stretch = usual.stretch if self.stretch is None else self.stretch
        return random_stretches(real, draws, share=share, stretch=stretch)
