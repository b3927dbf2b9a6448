"""Pairwise cross-entropy: tightness of the pairs of a class against a contrast, with classes made of the batch.

Axes: n samples, D features, C classes.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.heads.joint import PairHead
from pipeline.heads.spec import Target
from pipeline.objectives.info_nce import normalize
from pipeline.objectives.pairwise_cross_entropy import pairwise_cross_entropy


class PairwiseLoss(nn.Module):
    """SPCE of unit features, or of features as they are."""

    def __init__(self, num_classes: int, *, temperature: float | None, unit: bool) -> None:
        super().__init__()
        self.num_classes, self.temperature, self.unit = num_classes, temperature, unit

    def forward(self, features: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        z = normalize(features) if self.unit else features
        return pairwise_cross_entropy(z, labels, num_classes=self.num_classes, temperature=self.temperature)


class Pairwise(PairHead):
    """Simplified pairwise cross-entropy SPCE (arXiv 2003.08983, section 4), jointly with a linear classifier.

    It is the cross-entropy whose class weights are the class sums of the batch over n, so it needs no classifier of its
    own; classes without samples in the batch take no part.
    """

    kind: Literal["pairwise"] = "pairwise"
    """Cross-entropy of pairs."""
    temperature: float | None = Field(default=0.1, ge=0.01)
    """Class weights are class means over it; None: class sums over n as in the paper, whose logits shrink as classes
    get smaller."""
    unit: bool = True
    """Of unit features; false: of features as they are."""

    def pair_loss(self, target: Target) -> PairwiseLoss:
        return PairwiseLoss(target.num_classes, temperature=self.temperature, unit=self.unit)
