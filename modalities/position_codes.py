"""Fixed codes of places in a sequence."""

import math

import torch
from torch import Tensor


def position_codes(length: int, width: int) -> Tensor:
    """Sines and cosines (length, width) of geometrically spaced periods (arXiv 1706.03762, section 3.5)."""
    rates = torch.exp(torch.arange(0, width, 2) * (-math.log(10_000.0) / width))
    phase = torch.arange(length)[:, None] * rates
    return torch.stack([phase.sin(), phase.cos()], dim=2).flatten(1)
