"""MarginNCE: InfoNCE whose positive is handicapped or helped by a margin.

Axes: B anchors, K candidates, d embedding size.
"""

import math
from typing import Literal

import torch
from torch import Tensor

from pipeline.objectives.info_nce import contrast, normalize
from pipeline.objectives.log_sum_exp import log_sum_exp
from pipeline.objectives.repel import Repel

MarginForm = Literal["cosine", "arc"]


def margin_nce(
    anchors: Tensor,
    positives: Tensor,
    candidates: Tensor,
    *,
    repel: Repel,
    margin: float,
    form: MarginForm = "cosine",
    temperature: float,
) -> Tensor:
    """Loss of each anchor, -log e^{m(s+)/tau} / (e^{m(s+)/tau} + sum_k e^{s_k/tau}), s the cosine (InterCLR, arXiv
    2008.11702).

    anchors, positives (B, d): row i is the positive of anchor i. candidates (K, d), repelling as `repel` says.
    m(s) is `with_margin`: a negative margin makes the positive look closer and so asks for less. Returns (B,).
    """
    a = normalize(anchors)
    similarity = (a * normalize(positives).to(a.dtype)).sum(dim=1)
    repelled = log_sum_exp(a, normalize(candidates).to(a.dtype), repel=repel, temperature=temperature)
    return contrast(with_margin(similarity, margin, form) / temperature, repelled)


def with_margin(similarity: Tensor, margin: float, form: MarginForm) -> Tensor:
    """Cosines after the margin: s - m, or cos(theta + m) in the arc form.

    Where theta + m leaves [0, pi] the arc form goes on as a line, s - m sin |m|, so that it keeps rising with s.

    >>> with_margin(torch.tensor([0.5, 0.95]), -0.5, "arc")
    tensor([0.8540, 1.1897])
    """
    if form == "cosine":
        return similarity - margin
    if margin == 0:
        return similarity
    sine = (1 - similarity.square()).clamp(min=torch.finfo(similarity.dtype).eps).sqrt()
    turned = similarity * math.cos(margin) - sine * math.sin(margin)
    line = similarity - margin * math.sin(abs(margin))
    outside = similarity <= -math.cos(margin) if margin > 0 else similarity >= math.cos(margin)
    return torch.where(outside, line, turned)
