"""Spreading of blocks: the centres of different pseudo-classes repel (NBC).

Axes: B samples, C classes, d embedding size.
"""

import torch
from torch import Tensor

from pipeline.objectives.info_nce import masked_mean, normalize
from pipeline.objectives.log_sum_exp import log_sum_exp
from pipeline.objectives.repel import Repel


def block_spread(z: Tensor, labels: Tensor, *, num_classes: int, scale: float = 0.2, divide: bool = False) -> Tensor:
    """mean_c log(1 + sum_{c' != c} e^{scale * cos(mu_c, mu_c')}) over the classes of the batch (NBC-Softmax, arXiv
    2212.08184).

    z (B, d); mu_c the mean of class c, through which the gradient flows; labels (B,) int64, -1 for rows that take no
    part. divide: by num_classes, as the paper does, which lets the term vanish where there are many. Scalar, zero with
    less than two classes.
    """
    means, counts = class_means(z, labels, num_classes)
    centres = normalize(means[counts > 0])
    itself = Repel(positive=torch.arange(len(centres), device=z.device))
    others = log_sum_exp(centres, centres, repel=itself, temperature=1 / scale)
    spread = masked_mean(torch.logaddexp(others, torch.zeros_like(others)), torch.ones_like(others, dtype=torch.bool))
    return spread / num_classes if divide else spread


def class_means(z: Tensor, labels: Tensor, num_classes: int) -> tuple[Tensor, Tensor]:
    """Means (C, d) of the rows of z (B, d) by label, and how many (C,) there are. Label -1 is left out."""
    kept, place = labels >= 0, labels.clamp(min=0)
    rows = torch.where(kept[:, None], z, 0.0)
    sums = torch.zeros(num_classes, z.shape[1], dtype=z.dtype, device=z.device).index_add(0, place, rows)
    counts = torch.zeros(num_classes, dtype=z.dtype, device=z.device).index_add(0, place, kept.to(z.dtype))
    return sums / counts.clamp(min=1)[:, None], counts
