"""ArcFace: the angle to the true class, or to the nearest of its sub-centres, must win by a margin."""

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from pipeline.heads.cosine_classes import CosineClasses, of_label, with_target
from pipeline.heads.linear import LogitCriterion
from pipeline.heads.spec import ClassLoss, HeadConfig, Target
from pipeline.types import LossTerms

_LEAST_SQUARED_SINE = 1e-7  # at angle 0 the sine has no finite slope, and class weights do start at class means


def arcface(cosines: Tensor, labels: Tensor, *, scale: float, margin: float) -> Tensor:
    """Mean of -log e^{s cos(theta_y + m)} / (e^{s cos(theta_y + m)} + sum_{c != y} e^{s cos_c}) (arXiv 1801.07698,
    eq. 3).

    cosines (B, C), labels (B,); margin in radians. The gradient is that of the formula, finite also where a feature
    lies on its class weight. Scalar.
    """
    target = arc_margin(of_label(cosines, labels), margin)
    return functional.cross_entropy(scale * with_target(cosines, labels, target), labels)


def arc_margin(cosine: Tensor, margin: float) -> Tensor:
    """cos(theta + m), continued by cos(theta) - m sin(m) beyond theta + m = pi, from where the cosine rises again.

    >>> round(float(arc_margin(torch.tensor(math.cos(math.radians(170)), dtype=torch.float64), 0.5)), 6)
    -1.224521
    """
    sine = (1 - cosine.square()).clamp(min=_LEAST_SQUARED_SINE).sqrt()
    moved = cosine * math.cos(margin) - sine * math.sin(margin)
    return torch.where(cosine > math.cos(math.pi - margin), moved, cosine - margin * math.sin(margin))


class ArcFace(HeadConfig):
    """Additive angular margin (arXiv 1801.07698, eq. 3; with sub-centres its section 3.4, which bears wrong labels).

    `pipeline/heads/purify.py` reports which samples of a class lie far from its dominant sub-centre. It is plain
    cross-entropy of its own logits: loss, balance and smoothing of the stage do not apply.
    """

    reads_features: ClassVar[bool] = False
    reads_class_loss: ClassVar[bool] = False

    kind: Literal["arcface"] = "arcface"
    """Margin of the angle."""
    scale: float = Field(default=64.0, gt=0)
    """Factor s of the cosines."""
    margin: float = Field(default=0.5, ge=0, lt=math.pi / 2)
    """Margin m of the angle, in radians."""
    sub_centers: int = Field(default=1, ge=1)
    """Directions K of a class, of which the nearest counts; 3 for noisy labels."""

    def classifier(self, width: int, num_classes: int) -> CosineClasses:
        return CosineClasses(width, num_classes, scale=self.scale, sub_centers=self.sub_centers)

    def criterion(self, target: Target, classifier: nn.Module, class_loss: ClassLoss) -> LogitCriterion:
        return LogitCriterion(self.loss)

    def loss(self, logits: Tensor, labels: Tensor) -> LossTerms:
        """Of the logits that the classifier gives."""
        return LossTerms({self.kind: arcface(logits / self.scale, labels, scale=self.scale, margin=self.margin)})
