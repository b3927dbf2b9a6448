"""Dual path: two views of a batch shall have the same structure, and classes contrast on constructed features.

Axes: B samples, D features.
"""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.heads.joint import class_pairs
from pipeline.heads.spec import ClassLoss, HeadConfig, Supervised, Target
from pipeline.objectives.info_nce import normalize, product
from pipeline.objectives.sup_con import sup_con
from pipeline.types import LossTerms


def structure_difference(first: Tensor, second: Tensor) -> Tensor:
    """Mean square difference of the cosine matrices of two views (B, D) of a batch, 0 where one is a rotation of the
    other. Scalar."""
    a, b = normalize(first), normalize(second)
    return (product(a, a.T) - product(b, b.T)).square().mean()


def constructed(features: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
    """A mix lambda h_i + (1 - lambda) h_j for each sample i (B, D), lambda uniform in [1/2, 1), j another of its class
    at random; itself where it is alone."""
    same, _ = class_pairs(labels)
    draws = torch.rand(2, len(labels), generator=generator).to(features.device)
    number = same.sum(dim=1)
    wanted = (draws[0] * number).long() + 1
    partner = (same.cumsum(dim=1) < wanted[:, None]).sum(dim=1)
    partner = torch.where(number > 0, partner, torch.arange(len(labels), device=labels.device))
    share = (0.5 + draws[1] / 2).to(features)[:, None]
    return share * features + (1 - share) * features[partner]


class DualPathCriterion(nn.Module):
    """Class loss, weighted structure and weighted contrast."""

    def __init__(self, config: "DualPath", class_loss: ClassLoss) -> None:
        super().__init__()
        self.config, self.class_loss = config, class_loss

    def forward(self, batch: Supervised) -> LossTerms:
        c, order = self.config, batch.idx.argsort()
        first, second = (normalize(view[order]) for view in batch.features)
        return LossTerms(
            {
                **self.class_loss(batch.logits, batch.labels).terms,
                "structure": c.structure * structure_difference(first, second),
                "contrast": c.contrast * self._contrast(first, second, batch.labels[order], batch.generator),
            }
        )

    def _contrast(self, first: Tensor, second: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        rows = torch.cat([first, second, constructed(first, labels, generator)])
        positives, negatives = class_pairs(labels.repeat(3))
        losses = sup_con(rows, rows, positives=positives, negatives=negatives, temperature=self.config.temperature)
        return losses.mean()


class DualPath(HeadConfig):
    """Dual-path structural contrast (arXiv 2112.12359), for representations that few shots of new classes shall fit.

    L = L_class + structure L_struct + contrast L_con. L_struct: mean square difference of the cosine matrices of two
    augmented views; L_con: SupCon of both views and of convex mixes of samples of a class. Reconstructed from the
    abstract: the body of the paper and its code could not be had, and the weights are ours. Without augmentation the
    views are equal, and L_struct is 0.
    """

    num_views: ClassVar[int] = 2

    kind: Literal["dual_path"] = "dual_path"
    """Structure of two views, and contrast of classes."""
    structure: float = Field(default=1.0, ge=0)
    """Weight of the structure."""
    contrast: float = Field(default=1.0, ge=0)
    """Weight of the contrast."""
    temperature: float = Field(default=0.1, ge=0.01)
    """Temperature tau of the contrast."""

    def classifier(self, width: int, num_classes: int) -> nn.Linear:
        return nn.Linear(width, num_classes)

    def criterion(self, target: Target, classifier: nn.Module, class_loss: ClassLoss) -> DualPathCriterion:
        return DualPathCriterion(self, class_loss)
