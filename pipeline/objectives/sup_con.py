"""Contrast with several positives.

Axes: B anchors, K candidates, d embedding size.
"""

import torch
from torch import Tensor

from pipeline.objectives.info_nce import normalize, product
from pipeline.objectives.log_sum_exp import log_sum_exp
from pipeline.objectives.repel import Repel


def sup_con(
    anchors: Tensor, candidates: Tensor, *, positives: Tensor, negatives: Tensor, temperature: float, margin: float = 0
) -> Tensor:
    """Loss of each anchor, the mean over its positives p of -log e^{s_p'} / (sum_p e^{s_p'} + sum_n e^{s_n/tau}).

    s_p' = (s_p - m) / tau, s the cosine; with m = 0 the outer form of SupCon (arXiv 2004.11362, eq. 2).
    anchors (B, d), candidates (K, d); positives, negatives (B, K) bool, disjoint. Returns (B,), 0 for an anchor
    without positives.
    """
    a = normalize(anchors)
    c = normalize(candidates).to(a.dtype)
    number = positives.sum(dim=1)
    mean_positive = (a * product(positives.to(a.dtype), c)).sum(dim=1) / number.clamp(min=1)
    attracted = log_sum_exp(a, c, repel=Repel(allowed=positives), temperature=temperature)
    attracted = torch.where(number > 0, attracted, 0.0) - margin / temperature
    repelled = log_sum_exp(a, c, repel=Repel(allowed=negatives), temperature=temperature)
    losses = torch.logaddexp(attracted, repelled) - (mean_positive - margin) / temperature
    return torch.where(number > 0, losses, 0.0)
