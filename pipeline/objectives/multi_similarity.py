"""Multi-similarity: all positives and negatives of an anchor, the hard ones most.

Axes: B anchors, K candidates.
"""

import torch
from torch import Tensor
from torch.nn import functional


def multi_similarity(
    similarity: Tensor,
    weight: Tensor,
    negatives: Tensor,
    *,
    scales: tuple[float, float],
    threshold: float,
    mining: float | None,
) -> tuple[Tensor, Tensor]:
    """1/w+ log(1 + sum_p e^{-w+ (s_p - t)}) + 1/w- log(1 + sum_n e^{w- (s_n - t)}) (arXiv 1904.06627, eq. 15; on the
    neighbours of a graph arXiv 2103.10334).

    similarity (B, K) cosines; weight (B, K), above 0 for positives, multiplies their terms of the sum; negatives (B, K)
    bool. scales: w+ and w-; threshold t. mining: keep positives with s - mining below the hardest negative and
    negatives with s + mining above the hardest positive (eq. 11 and 12), None keeps all. Returns losses (B,), 0 where
    an anchor keeps no positive or no negative, and (B,) bool which anchors count.
    """
    positives = weight > 0
    if mining is not None:
        positives, negatives = _mined(similarity.detach(), positives, negatives, mining)
    pull = -scales[0] * (similarity - threshold) + weight.to(similarity.dtype).log()
    losses = _soft(pull, positives) / scales[0] + _soft(scales[1] * (similarity - threshold), negatives) / scales[1]
    kept = positives.any(dim=1) & negatives.any(dim=1)
    return torch.where(kept, losses, 0.0), kept


def _mined(similarity: Tensor, positives: Tensor, negatives: Tensor, margin: float) -> tuple[Tensor, Tensor]:
    nearest = similarity.masked_fill(~negatives, -torch.inf).amax(dim=1, keepdim=True)
    farthest = similarity.masked_fill(~positives, torch.inf).amin(dim=1, keepdim=True)
    return positives & (similarity - margin < nearest), negatives & (similarity + margin > farthest)


def _soft(logits: Tensor, keep: Tensor) -> Tensor:
    """(B,) log(1 + sum e^logits) over the kept entries."""
    return functional.pad(logits.masked_fill(~keep, -torch.inf), (1, 0)).logsumexp(dim=1)
