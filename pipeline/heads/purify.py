"""Which labels are probably wrong: samples far from the sub-centre that most of their class lies at.

Axes: N samples, C classes, K sub-centres.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Purified:
    """dominant: (C,) int64 sub-centre nearest to most samples of a class, -1 for classes without samples. degrees: (N,)
    angle of each sample to the dominant sub-centre of its class. far: (N,) bool beyond the limit."""

    dominant: Tensor
    degrees: Tensor
    far: Tensor


def purify(cosines: Tensor, labels: Tensor, *, limit_degrees: float = 75.0) -> Purified:
    """Of cosines (N, C, K) with all sub-centres and labels (N,) (arXiv 1801.07698, section 3.4): drop what is far, and
    train again with one centre. The lower sub-centre is dominant where two have equally many samples.
    """
    rows = torch.arange(len(labels), device=labels.device)
    own = cosines[rows, labels]
    num_classes, sub_centers = cosines.shape[1:]
    votes = torch.zeros(num_classes, sub_centers, dtype=torch.int64, device=labels.device)
    votes.index_put_((labels, own.argmax(dim=1)), torch.ones_like(labels), accumulate=True)
    dominant = votes.argmax(dim=1)
    angle = own[rows, dominant[labels]].clamp(-1, 1).arccos() * (180 / math.pi)
    return Purified(torch.where(votes.sum(dim=1) > 0, dominant, -1), angle, angle > limit_degrees)
