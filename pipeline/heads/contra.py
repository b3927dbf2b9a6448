"""Contra-X: the cosines of a batch shall say which samples share a class.

Axes: B samples, D features.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.heads.joint import PairHead, class_pairs
from pipeline.heads.spec import Target
from pipeline.objectives.info_nce import normalize, product

Form = Literal["sum", "kl"]


def log_share_of_class(features: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Loss of each sample, -log(sum_{j: a_j = a_i} e^{s_ij/tau} / sum_j e^{s_ij/tau}), j != i, s the cosine (arXiv
    2209.11887, the published loss). features (B, D), labels (B,). Returns (B,), 0 for a sample alone in its class.
    """
    positives, negatives = class_pairs(labels)
    logits = _cosines(features) / temperature
    attracted = logits.masked_fill(~positives, -torch.inf).logsumexp(dim=1)
    everyone = logits.masked_fill(~(positives | negatives), -torch.inf).logsumexp(dim=1)
    return torch.where(positives.any(dim=1), everyone - attracted, 0.0)


def class_divergence(features: Tensor, labels: Tensor, *, temperature: float) -> Tensor:
    """Loss of each sample, KL(softmax_j(1[a_j = a_i] / tau) || softmax_j(s_ij / tau)), j = i included (code of the
    authors of arXiv 2209.11887). features (B, D), labels (B,). Returns (B,).
    """
    same = (labels[:, None] == labels).to(features.dtype)
    wanted = (same / temperature).log_softmax(dim=1)
    found = (_cosines(features) / temperature).log_softmax(dim=1)
    return (wanted.exp() * (wanted - found)).sum(dim=1)


def _cosines(features: Tensor) -> Tensor:
    unit = normalize(features)
    return product(unit, unit.T)


class ContraLoss(nn.Module):
    """Mean over all samples of either form."""

    def __init__(self, form: Form, temperature: float) -> None:
        super().__init__()
        self.form, self.temperature = form, temperature

    def forward(self, features: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        loss = log_share_of_class if self.form == "sum" else class_divergence
        return loss(features, labels, temperature=self.temperature).mean()


class Contra(PairHead):
    """Contra-X (arXiv 2209.11887), jointly with a linear classifier of the same features: L_CE + weight L_CL.

    The authors of the paper found that some classes get worse: compare the least recall of the report.
    """

    kind: Literal["contra"] = "contra"
    """Contrast of the paper on authorship."""
    form: Form = "sum"
    """`sum` is the published loss, the logarithm of a sum over the class; `kl` is the divergence that the code of its
    authors computes, in which every sample also meets itself."""
    temperature: float = Field(default=0.1, ge=0.01)
    """Temperature tau of the cosine."""

    def pair_loss(self, target: Target) -> ContraLoss:
        return ContraLoss(self.form, self.temperature)
