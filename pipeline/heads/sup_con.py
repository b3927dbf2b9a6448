"""Supervised contrast: all samples of a class attract one another, the others repel."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.heads.joint import PairHead, class_pairs
from pipeline.heads.spec import Target
from pipeline.objectives.sup_con import sup_con


class SupConLoss(nn.Module):
    """Mean over all samples; one that is alone in its class contributes 0, as in the reference of the authors."""

    def __init__(self, temperature: float) -> None:
        super().__init__()
        self.temperature = temperature

    def forward(self, features: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        positives, negatives = class_pairs(labels)
        return sup_con(
            features, features, positives=positives, negatives=negatives, temperature=self.temperature
        ).mean()


class SupCon(PairHead):
    """SupCon (arXiv 2004.11362, eq. 2) of the features, jointly with a linear classifier of the same features."""

    kind: Literal["sup_con"] = "sup_con"
    """Supervised contrast."""
    temperature: float = Field(default=0.1, ge=0.01)
    """Temperature tau of the cosine."""

    def pair_loss(self, target: Target) -> SupConLoss:
        return SupConLoss(self.temperature)
