"""Positions of a text encoder's sequence as tokens. Axes: B samples, L tokens."""

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from modalities.spec import Patches, Signal


@dataclass(frozen=True)
class TokenPatching:
    """Position s stands for token s, one of `categories`; special tokens are neither hidden nor asked for.

    What is hidden always becomes the mask token, without the random and the unchanged tokens of arXiv 1810.04805.
    """

    share: ClassVar[float] = 0.15  # arXiv 1810.04805
    stretch: ClassVar[int] = 1

    categories: int
    mask_token: int
    special: tuple[int, ...]

    @property
    def width(self) -> int:
        return 1

    def patches(self, signal: Signal) -> Patches:
        observed = observed_tokens(signal) & signal.present[:, None]
        known = observed & ~torch.isin(signal.values, torch.tensor(self.special, device=signal.values.device))
        return Patches(torch.where(observed, signal.values, 0)[:, :, None], known[:, :, None])

    def hide(self, signal: Signal, positions: Tensor) -> Signal:
        mask = observed_tokens(signal)
        hidden = positions & mask
        return Signal(signal.values.masked_fill(hidden, self.mask_token), mask & ~hidden, signal.present, hidden)


def observed_tokens(signal: Signal) -> Tensor:
    """(B, L) bool, made where the signal leaves it out."""
    return torch.ones_like(signal.values, dtype=torch.bool) if signal.mask is None else signal.mask
