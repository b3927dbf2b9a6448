"""InfoNCE, the contrastive core the objectives share. Pure functions, float32 or wider.

Axes: B anchors, K candidates, d embedding size.
"""

import torch
from torch import Tensor
from torch.nn import functional


def normalize(z: Tensor) -> Tensor:
    """Unit rows in at least float32, also under autocast."""
    return functional.normalize(z if z.dtype == torch.float64 else z.float(), dim=-1)


def info_nce(anchors: Tensor, candidates: Tensor, positive: Tensor, *, allowed: Tensor, temperature: float) -> Tensor:
    """Loss of each anchor, -log e^{s_p/tau} / sum_{k allowed} e^{s_k/tau}, s the cosine (arXiv 1807.03748, eq. 4).

    anchors (B, d), candidates (K, d); positive (B,) column of each anchor's positive; allowed (B, K) bool, the
    entries of the denominator, which must hold the positive. Returns (B,).

    >>> z = torch.eye(2)
    >>> loss = info_nce(z, z, torch.tensor([0, 1]), allowed=torch.ones(2, 2, dtype=torch.bool), temperature=1.0)
    >>> round(float(loss[0]), 4)  # -log(e / (e + 1))
    0.3133
    """
    logits = normalize(anchors) @ normalize(candidates).T / temperature
    logits = logits.masked_fill(~allowed, -torch.inf)
    return logits.logsumexp(dim=1) - logits.gather(1, positive[:, None]).squeeze(1)


def masked_mean(values: Tensor, keep: Tensor) -> Tensor:
    """Mean of the kept entries; a zero that keeps the graph when none is kept."""
    total = torch.where(keep, values, torch.zeros_like(values)).sum()
    return total / keep.sum().clamp(min=1)


def distinct(content: Tensor) -> Tensor:
    """(B, B) bool: True where two samples may be each other's negatives, because their stored payloads differ."""
    return content[:, None] != content[None, :]
