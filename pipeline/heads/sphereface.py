"""SphereFace: the angle to the true class is multiplied, gently at first."""

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from pipeline.heads.cosine_classes import of_label, with_target
from pipeline.heads.spec import ClassLoss, HeadConfig, Supervised, Target
from pipeline.objectives.info_nce import normalize, product
from pipeline.types import LossTerms

_LEAST_NORM = 1e-12


def sphereface(logits: Tensor, norms: Tensor, labels: Tensor, *, multiple: int, blend: float) -> Tensor:
    """Mean of -log e^{f_y} / (e^{f_y} + sum_{c != y} e^{|x| cos_c}), f_y = |x| (lambda cos_y + psi(theta_y)) / (1 +
    lambda) (A-Softmax, arXiv 1704.08063, eq. 7; lambda as its section 4.1 trains).

    logits (B, C), |x| cos_c; norms (B,) |x|; labels (B,). multiple: m of psi. blend: lambda. Scalar.
    """
    cosine = of_label(logits, labels) / norms.clamp(min=_LEAST_NORM)
    target = norms * (blend * cosine + psi(cosine, multiple)) / (1 + blend)
    return functional.cross_entropy(with_target(logits, labels, target), labels)


def psi(cosine: Tensor, multiple: int) -> Tensor:
    """(-1)^k cos(m theta) - 2k for theta in [k pi / m, (k + 1) pi / m]: falls from 1 to 1 - 2m.

    >>> psi(torch.tensor([1.0, -1.0]), 4).tolist()
    [1.0, -7.0]
    """
    angle = cosine.detach().clamp(-1, 1).arccos()
    k = (multiple * angle / math.pi).floor().clamp(max=multiple - 1)
    return (1 - 2 * (k % 2)) * _chebyshev(cosine, multiple) - 2 * k


def _chebyshev(cosine: Tensor, multiple: int) -> Tensor:
    """cos(m theta) as a polynomial of cos(theta), whose slope is finite everywhere."""
    before, now = torch.ones_like(cosine), cosine
    for _ in range(multiple - 1):
        before, now = now, 2 * cosine * now - before
    return now


def annealing(step: int, *, base: float, decay: float, power: float, least: float) -> float:
    """Weight lambda of the plain cosine, max(least, base (1 + decay step)^-power).

    >>> round(annealing(1, base=1000.0, decay=0.12, power=1.0, least=5.0), 3)
    892.857
    """
    return max(least, base * (1 + decay * step) ** -power)


class UnitClasses(nn.Module):
    """|h| cos(h, w_c): class weights are directions, features keep their norm."""

    def __init__(self, width: int, num_classes: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(nn.init.xavier_normal_(torch.empty(num_classes, width)))

    def forward(self, features: Tensor) -> Tensor:
        """Logits (B, C) of features (B, D), in float32 or wider, also under autocast."""
        weight = normalize(self.weight)
        wide = features.to(torch.promote_types(features.dtype, weight.dtype))
        return product(wide, weight.to(wide.dtype).T)


class SphereFaceCriterion(nn.Module):
    """A-Softmax whose blend follows the step."""

    def __init__(self, config: "SphereFace") -> None:
        super().__init__()
        self.config = config

    def forward(self, batch: Supervised) -> LossTerms:
        c = self.config
        blend = annealing(batch.step, base=c.blend_start, decay=c.blend_decay, power=c.blend_power, least=c.blend_least)
        norms = torch.linalg.vector_norm(batch.features[0], dim=1)
        return LossTerms({c.kind: sphereface(batch.logits, norms, batch.labels, multiple=c.multiple, blend=blend)})


class SphereFace(HeadConfig):
    """A-Softmax (arXiv 1704.08063, eq. 7) with the annealing its authors train with, without which it diverges.

    lambda = max(blend_least, blend_start (1 + blend_decay step)^-blend_power) of the plain cosine beside one of psi:
    with the defaults 5 is reached at step 1659, and the margin never counts more than a sixth. Fewer steps need a
    faster decay. It is plain cross-entropy of its own logits: loss, balance and smoothing of the stage do not apply.
    """

    reads_class_loss: ClassVar[bool] = False

    kind: Literal["sphereface"] = "sphereface"
    """Multiplied angle."""
    multiple: int = Field(default=4, ge=1, le=8)
    """Factor m of the angle; 1 is no margin."""
    blend_start: float = Field(default=1000.0, ge=0)
    """Weight lambda of the plain cosine at step 0."""
    blend_decay: float = Field(default=0.12, ge=0)
    """How fast lambda falls with the step."""
    blend_power: float = Field(default=1.0, ge=0)
    """Exponent of that fall."""
    blend_least: float = Field(default=5.0, ge=0)
    """Least lambda."""

    def classifier(self, width: int, num_classes: int) -> UnitClasses:
        return UnitClasses(width, num_classes)

    def criterion(self, target: Target, classifier: nn.Module, class_loss: ClassLoss) -> SphereFaceCriterion:
        return SphereFaceCriterion(self)
