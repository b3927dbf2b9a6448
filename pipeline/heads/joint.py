"""Jointly: a loss of pairs of features beside that of a classifier, which makes the logits that pairs do not.

Axes: B samples, D features.
"""

from abc import abstractmethod
from typing import Protocol

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.heads.spec import ClassLoss, HeadConfig, Supervised, Target
from pipeline.types import LossTerms


class PairLoss(Protocol):
    """A module from features (N, D), labels (N,) and a generator to a scalar, zero with a graph without pairs.

    Rows come in the order of the sample numbers, so that draws of the generator belong to samples.
    """

    def __call__(self, features: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor: ...


class JointCriterion(nn.Module):
    """The terms of the class loss and `pairs`, weight * pair loss of the features of the first view."""

    def __init__(self, class_loss: ClassLoss, pair_loss: nn.Module, *, weight: float) -> None:
        super().__init__()
        self.class_loss, self.pair_loss, self.weight = class_loss, pair_loss, weight

    def forward(self, batch: Supervised) -> LossTerms:
        order = batch.idx.argsort()
        pairs = self.pair_loss(batch.features[0][order], batch.labels[order], batch.generator)
        return LossTerms({**self.class_loss(batch.logits, batch.labels).terms, "pairs": self.weight * pairs})


class PairHead(HeadConfig):
    """A head with a pair loss, trained jointly with a linear classifier of the same features."""

    weight: float = Field(default=1.0, gt=0)
    """Weight of the pair loss beside the class loss."""

    @abstractmethod
    def pair_loss(self, target: Target) -> nn.Module:
        """A PairLoss."""

    def classifier(self, width: int, num_classes: int) -> nn.Module:
        return nn.Linear(width, num_classes)

    def criterion(self, target: Target, classifier: nn.Module, class_loss: ClassLoss) -> nn.Module:
        return self.joint(self.pair_loss(target), class_loss)

    def joint(self, pair_loss: nn.Module, class_loss: ClassLoss) -> JointCriterion:
        """The criterion of both losses with the weight of this head."""
        return JointCriterion(class_loss, pair_loss, weight=self.weight)


def class_pairs(labels: Tensor) -> tuple[Tensor, Tensor]:
    """(B, B) bool each: pairs of different samples of one class, and pairs of different classes."""
    same = labels[:, None] == labels
    return same & ~torch.eye(len(labels), dtype=torch.bool, device=labels.device), ~same
