"""CosFace: the cosine of the true class must win by a margin."""

from typing import ClassVar, Literal

from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from pipeline.heads.cosine_classes import CosineClasses, of_label, with_target
from pipeline.heads.linear import LogitCriterion
from pipeline.heads.spec import ClassLoss, HeadConfig, Target
from pipeline.types import LossTerms


def cosface(cosines: Tensor, labels: Tensor, *, scale: float, margin: float) -> Tensor:
    """Mean of -log e^{s (cos_y - m)} / (e^{s (cos_y - m)} + sum_{c != y} e^{s cos_c}) (LMCL, arXiv 1801.09414, eq. 4).

    cosines (B, C), labels (B,). Scalar.
    """
    target = of_label(cosines, labels) - margin
    return functional.cross_entropy(scale * with_target(cosines, labels, target), labels)


class CosFace(HeadConfig):
    """Large margin cosine loss (arXiv 1801.09414, eq. 4), for features that are compared by their angle.

    A scale below (C-1)/C ln((C-1) p / (1-p)) cannot reach the probability p (eq. 6); a margin above C/(C-1) cannot be
    met (eq. 7). It is plain cross-entropy of its own logits: loss, balance and smoothing of the stage do not apply.
    """

    reads_features: ClassVar[bool] = False
    reads_class_loss: ClassVar[bool] = False

    kind: Literal["cosface"] = "cosface"
    """Margin of the cosine."""
    scale: float = Field(default=64.0, gt=0)
    """Factor s of the cosines."""
    margin: float = Field(default=0.35, ge=0, le=2)
    """Margin m of the cosine."""

    def classifier(self, width: int, num_classes: int) -> CosineClasses:
        return CosineClasses(width, num_classes, scale=self.scale)

    def criterion(self, target: Target, classifier: nn.Module, class_loss: ClassLoss) -> LogitCriterion:
        return LogitCriterion(self.loss)

    def loss(self, logits: Tensor, labels: Tensor) -> LossTerms:
        """Of the logits that the classifier gives."""
        return LossTerms({self.kind: cosface(logits / self.scale, labels, scale=self.scale, margin=self.margin)})
