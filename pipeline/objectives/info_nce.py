"""InfoNCE, the contrastive core the objectives share. Pure functions, float32 or wider.

Axes: B anchors, K candidates, d embedding size.
"""

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.objectives.log_sum_exp import log_sum_exp
from pipeline.objectives.repel import Repel

_LINEAR = 50  # from here on log(1 + e^x) is x, also in float64


def precise(z: Tensor) -> Tensor:
    """In at least float32, also under autocast."""
    return z if z.dtype == torch.float64 else z.float()


def normalize(z: Tensor) -> Tensor:
    """Unit rows in at least float32, also under autocast."""
    return functional.normalize(precise(z), dim=-1)


def product(a: Tensor, b: Tensor) -> Tensor:
    """Matrix product in the precision of its factors, also under autocast."""
    with torch.autocast(a.device.type, enabled=False):
        return a @ b


def info_nce(anchors: Tensor, candidates: Tensor, positive: Tensor, *, repel: Repel, temperature: float) -> Tensor:
    """Loss of each anchor, -log e^{s_p/tau} / (e^{s_p/tau} + sum_k w_k e^{s_k/tau}), s the cosine (arXiv 1807.03748,
    eq. 4).

    anchors (B, d), candidates (K, d); positive (B,) column of each anchor's positive; repel: which candidates k stand
    in the denominator and with which weight w_k; the positive itself always does, once. Returns (B,); an anchor that
    nobody repels has loss 0.

    >>> z = torch.eye(2)
    >>> loss = info_nce(z, z, torch.tensor([0, 1]), repel=Repel(), temperature=1.0)
    >>> round(float(loss[0]), 4)  # -log(e / (e + 1))
    0.3133
    """
    return unit_info_nce(normalize(anchors), normalize(candidates), positive, repel=repel, temperature=temperature)


def unit_info_nce(a: Tensor, c: Tensor, positive: Tensor, *, repel: Repel, temperature: float) -> Tensor:
    """`info_nce` of rows that are unit rows already."""
    repelled = log_sum_exp(a, c, repel=replace(repel, positive=positive), temperature=temperature)
    return contrast((a * c[positive]).sum(dim=1) / temperature, repelled)


def contrast(attracted: Tensor, repelled: Tensor) -> Tensor:
    """-log e^a / (e^a + e^r) of the positive's logit a and the negatives' log-sum-exp r, which may be -inf: 0."""
    return functional.softplus(repelled - attracted, threshold=_LINEAR)


def masked_mean(values: Tensor, keep: Tensor) -> Tensor:
    """Mean of the kept entries; a zero that keeps the graph when none is kept."""
    total = torch.where(keep, values, torch.zeros_like(values)).sum()
    return total / keep.sum().clamp(min=1)
