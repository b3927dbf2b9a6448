"""Contrastive margins: linked pairs closer than one distance, the others farther than another (Hadsell form).

Axes: B anchors, K candidates.
"""

import torch
from torch import Tensor


def pair_margin(
    distance: Tensor, weight: Tensor, negatives: Tensor, *, attract_within: float, repel_beyond: float
) -> tuple[Tensor, Tensor]:
    """Half the mean of max(0, D - mu+) over an anchor's positives and half that of max(0, mu- - D) over its negatives.

    That is what drawing one positive and one negative of each anchor gives on average (arXiv 2103.10334, section 3).
    distance (B, K); weight (B, K), above 0 for positives, in whose mean they count by it; negatives (B, K) bool.
    Returns losses (B,), 0 where an anchor has no positive or no negative, and (B,) bool which anchors count.
    """
    kept = (weight > 0).any(dim=1) & negatives.any(dim=1)
    pull = _mean((distance - attract_within).clamp(min=0), weight.to(distance.dtype))
    push = _mean((repel_beyond - distance).clamp(min=0), negatives.to(distance.dtype))
    return torch.where(kept, (pull + push) / 2, 0.0), kept


def _mean(values: Tensor, weight: Tensor) -> Tensor:
    total = weight.sum(dim=1)
    return (values * weight).sum(dim=1) / torch.where(total > 0, total, 1.0)
