"""Cross-entropy without a classifier: the classes of the batch are its own class sums (SPCE).

Axes: B samples, C classes, d embedding size.
"""

import torch
from torch import Tensor

from pipeline.objectives.block_spread import class_means
from pipeline.objectives.info_nce import masked_mean
from pipeline.objectives.log_sum_exp import log_sum_exp
from pipeline.objectives.repel import Repel


def pairwise_cross_entropy(z: Tensor, labels: Tensor, *, num_classes: int, temperature: float | None = None) -> Tensor:
    """Cross-entropy of z (B, d) with class weights made of z itself (arXiv 2003.08983, section 4).

    temperature None: weights (1/n) sum_{y_j = c} z_j, the paper's simplified pairwise form, whose logits shrink as
    classes get smaller. A temperature: class means over it. labels (B,) int64, -1 for rows that take no part; classes
    without rows take no part either. Scalar, zero with no rows.
    """
    kept = labels >= 0
    weights, counts = class_means(z, labels, num_classes)
    weights = weights * (counts / kept.sum().clamp(min=1))[:, None] if temperature is None else weights / temperature
    contrast = log_sum_exp(z, weights[counts > 0], repel=Repel(), temperature=1.0)
    return masked_mean(torch.where(kept, contrast, 0.0) - (z * weights[labels.clamp(min=0)]).sum(dim=1), kept)
