"""Weighted triplets: all positives against all negatives of a sample, the hard ones most, without a margin.

Axes: B samples, D features.
"""

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.heads.batch_norm_neck import BatchNormNeck
from pipeline.heads.distances import euclidean
from pipeline.heads.joint import JointCriterion, PairHead, class_pairs
from pipeline.heads.spec import ClassLoss, Supervised, Target
from pipeline.objectives.info_nce import masked_mean
from pipeline.types import LossTerms


def weighted_triplet(features: Tensor, labels: Tensor) -> Tensor:
    """Mean of log(1 + exp(sum_p w_p d_p - sum_n w_n d_n)), w_p = softmax_p(d), w_n = softmax_n(-d), Euclidean, over the
    samples with a positive and a negative (arXiv 2001.04193, eq. 10 and 11).

    A sample is no positive of its own, as it is in the code of the authors. features (B, D), labels (B,). Scalar.
    """
    distance = euclidean(features)
    positives, negatives = class_pairs(labels)
    pull, push = _softmax_mean(distance, distance, positives), _softmax_mean(distance, -distance, negatives)
    return masked_mean(functional.softplus(pull - push), positives.any(dim=1) & negatives.any(dim=1))


def _softmax_mean(values: Tensor, logits: Tensor, keep: Tensor) -> Tensor:
    """(B,) mean of the kept values by the softmax of their logits; 0 where none is kept."""
    anyone = keep.any(dim=1, keepdim=True)
    weights = torch.where(anyone, logits.masked_fill(~keep, -torch.inf), 0.0).softmax(dim=1)
    return (torch.where(keep, weights, 0.0) * values).sum(dim=1)


class WeightedTripletLoss(nn.Module):
    """Of the features as they are."""

    def forward(self, features: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return weighted_triplet(features, labels)


class NeckClasses(nn.Module):
    """Linear classifier without bias behind a BN-neck."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.neck = BatchNormNeck(width)
        self.classes = nn.Linear(width, num_classes, bias=False)

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, C) of features (B, D)."""
        return self.classes(self.neck(features))


class ObservedCriterion(nn.Module):
    """A criterion that shows the features of each global batch to somebody."""

    def __init__(self, joint: JointCriterion, observe: Callable[[Tensor], None]) -> None:
        super().__init__()
        self.joint, self.observe = joint, observe

    def forward(self, batch: Supervised) -> LossTerms:
        self.observe(batch.features[0].detach())
        return self.joint(batch)


class WeightedTriplet(PairHead):
    """AGW (arXiv 2001.04193, eq. 10 and 11): weighted regularised triplets of the features, and a linear classifier of
    the same features behind a BN-neck. Without its centre loss, non-local blocks and GeM pooling."""

    kind: Literal["weighted_triplet"] = "weighted_triplet"
    """All triplets of the batch, softly weighted."""

    def pair_loss(self, target: Target) -> WeightedTripletLoss:
        return WeightedTripletLoss()

    def classifier(self, width: int, num_classes: int) -> NeckClasses:
        return NeckClasses(width, num_classes)

    def criterion(self, target: Target, classifier: nn.Module, class_loss: ClassLoss) -> nn.Module:
        assert isinstance(classifier, NeckClasses)  # noqa: S101 - made above
        return ObservedCriterion(self.joint(self.pair_loss(target), class_loss), classifier.neck.observe)
