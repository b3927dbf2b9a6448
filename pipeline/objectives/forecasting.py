"""Forecasting: the end of the window is hidden, its past tells how it goes on. Axes: B samples, S positions."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor

from modalities.draws import Draws
from modalities.spec import Patching
from pipeline.objectives.reconstruction import Reconstruction


def last_positions(real: Tensor, *, share: float) -> Tensor:
    """(B, S) bool: the last share of each sample's real positions (B, S), at least one; the first always stays."""
    count = real.sum(dim=1, keepdim=True)
    ahead = torch.minimum((count * share).round().clamp(min=1), count - 1)
    return real & (real.cumsum(dim=1) > count - ahead)


class Forecasting(Reconstruction):
    """The past predicts the patches of the future (as the frames ahead of arXiv 1904.03240, by the squared error of
    arXiv 2010.02803)."""

    kind: Literal["forecasting"] = "forecasting"
    """Forecasting: squared error of the hidden end of the signal."""
    share: float = Field(default=0.25, gt=0, lt=1)
    """Share of the signal that is its future."""

    def hidden(self, real: Tensor, draws: Draws, usual: Patching) -> Tensor:
        return last_positions(real, share=self.share)
