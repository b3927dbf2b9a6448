"""Views of texts: tokens hidden or replaced, never all of them."""

from typing import Annotated, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from modalities.draws import Draws
from modalities.spec import Config, Signal
from modalities.text.patching import observed_tokens
from modalities.text.tokenizer import MASK_TOKEN


class TokenDropout(Config):
    """Hides single tokens from the encoder; the others keep their places."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["token_dropout"] = "token_dropout"
    """Hidden tokens."""
    rate: float = Field(default=0.1, ge=0, lt=1)
    """Chance of each token to be hidden."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        mask = observed_tokens(signal)
        drawn = draws.uniform(mask.shape[1])
        kept = mask & ((drawn >= self.rate) | _first_of_largest(drawn, mask))
        return _hide(signal, kept)


class SpanDropout(Config):
    """Hides one run of neighbouring tokens."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["span_dropout"] = "span_dropout"
    """Hidden run of tokens."""
    max_fraction: float = Field(default=0.3, gt=0, lt=1)
    """Largest share of the text the run covers; each sample draws from 0 to it."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        mask = observed_tokens(signal)
        order = mask.long().cumsum(dim=1) - 1  # number of each token among the visible ones
        visible = mask.sum(dim=1, keepdim=True)
        run = (draws.uniform(1, high=self.max_fraction) * visible).floor()
        start = (draws.uniform(1) * (visible - run + 1)).floor()
        return _hide(signal, mask & ~((order >= start) & (order < start + run)))


class TokenMask(Config):
    """Replaces tokens by the mask token, as masked language models see them (arXiv 1810.04805)."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["token_mask"] = "token_mask"
    """Masked tokens."""
    rate: float = Field(default=0.15, ge=0, lt=1)
    """Chance of each token to be masked."""
    token: int = Field(default=MASK_TOKEN, ge=0)
    """Id of the mask token: 4 in a trained tokenizer, 103 in those of BERT."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        mask = observed_tokens(signal)
        drawn = draws.uniform(mask.shape[1])
        masked = mask & (drawn < self.rate) & ~_first_of_largest(drawn, mask)
        return Signal(signal.values.masked_fill(masked, self.token), mask, signal.present)


AnyTextTransform = Annotated[TokenDropout | SpanDropout | TokenMask, Field(discriminator="kind")]


def _first_of_largest(drawn: Tensor, mask: Tensor) -> Tensor:
    """(B, L) bool: the visible token with the largest number, which is always spared."""
    best = drawn.masked_fill(~mask, -1.0).argmax(dim=1, keepdim=True)
    return torch.zeros_like(mask).scatter(1, best, value=True) & mask


def _hide(signal: Signal, kept: Tensor) -> Signal:
    return Signal(signal.values.masked_fill(~kept, 0), kept, signal.present)
