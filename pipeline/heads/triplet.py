"""Triplets: the farthest sample of the own class must be nearer than the nearest of the others, beside a softmax."""

from typing import ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional

from pipeline.heads.attribute_heads import AttributeHeads
from pipeline.heads.cosface import cosface
from pipeline.heads.cosine_classes import CosineClasses
from pipeline.heads.distances import euclidean
from pipeline.heads.joint import JointCriterion, PairHead, class_pairs
from pipeline.heads.spec import ClassLoss, Supervised, Target
from pipeline.objectives.info_nce import masked_mean
from pipeline.types import LossTerms


def batch_hard(features: Tensor, labels: Tensor, *, margin: float | None) -> Tensor:
    """Mean of (max_p D_ap - min_n D_an + m)_+, Euclidean, over the samples with a positive and a negative (arXiv
    1703.07737, eq. 5). margin None: log(1 + e^x) instead of (x + m)_+. features (B, D), labels (B,). Scalar.
    """
    distance = euclidean(features)
    positives, negatives = class_pairs(labels)
    kept = positives.any(dim=1) & negatives.any(dim=1)
    farthest = torch.where(positives, distance, 0.0).amax(dim=1)
    nearest = distance.masked_fill(~negatives, torch.inf).amin(dim=1)
    excess = farthest - torch.where(kept, nearest, 0.0)
    return masked_mean(functional.softplus(excess) if margin is None else (excess + margin).clamp(min=0), kept)


class TripletLoss(nn.Module):
    """Batch-hard triplets of the features as they are."""

    def __init__(self, margin: float | None) -> None:
        super().__init__()
        self.margin = margin

    def forward(self, features: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        return batch_hard(features, labels, margin=self.margin)


class AttributedCriterion(nn.Module):
    """A joint criterion and weighted terms of attributes."""

    def __init__(self, joint: JointCriterion, heads: AttributeHeads, weight: float) -> None:
        super().__init__()
        self.joint, self.heads, self.weight = joint, heads, weight

    def forward(self, batch: Supervised) -> LossTerms:
        found = self.heads(batch.features[0], batch.attributes)
        weighted = {f"attribute_{name}": self.weight * loss for name, loss in found.items()}
        return LossTerms({**self.joint(batch).terms, **weighted})


class Triplet(PairHead):
    """Normalised softmax, batch-hard triplets of unnormalised features and attributes together (arXiv 2212.14107;
    triplets of arXiv 1703.07737, eq. 5).

    The normalised softmax has no gradient along the features, which the triplets supply. The weights are ours: the
    paper gives none that could be checked. It is plain cross-entropy of its own logits: loss, balance and smoothing of
    the stage do not apply.
    """

    reads_class_loss: ClassVar[bool] = False

    kind: Literal["triplet"] = "triplet"
    """Hardest triplets of the batch."""
    margin: float | None = Field(default=0.3, ge=0)
    """Margin of the distances; None is the soft form log(1 + e^x)."""
    scale: float = Field(default=30.0, gt=0)
    """Factor s of the cosines of the softmax."""
    softmax_margin: float = Field(default=0.0, ge=0, le=2)
    """Margin of the cosines of the softmax (AM-softmax)."""
    attributes: tuple[str, ...] = ()
    """Label columns that the features shall also tell, such as the device or the place of a sensor."""
    attribute_weight: float = Field(default=0.1, gt=0)
    """Weight of the cross-entropy of each attribute."""

    @field_validator("attributes")
    @classmethod
    def _attributes_once(cls, attributes: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(attributes)) != len(attributes):
            raise ValueError("an attribute is named twice")
        return attributes

    @property
    def attribute_columns(self) -> tuple[str, ...]:
        return self.attributes

    def pair_loss(self, target: Target) -> TripletLoss:
        return TripletLoss(self.margin)

    def classifier(self, width: int, num_classes: int) -> CosineClasses:
        return CosineClasses(width, num_classes, scale=self.scale)

    def criterion(self, target: Target, classifier: nn.Module, class_loss: ClassLoss) -> nn.Module:
        joint = self.joint(self.pair_loss(target), self.softmax)
        if not self.attributes:
            return joint
        return AttributedCriterion(joint, AttributeHeads(target.width, target.attributes), self.attribute_weight)

    def softmax(self, logits: Tensor, labels: Tensor) -> LossTerms:
        """Of the logits that the classifier gives."""
        loss = cosface(logits / self.scale, labels, scale=self.scale, margin=self.softmax_margin)
        return LossTerms({"softmax": loss})
