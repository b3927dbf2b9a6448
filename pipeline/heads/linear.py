"""Linear: an affine map to logits, trained with the class loss of the stage alone."""

from typing import ClassVar, Literal

from torch import nn

from pipeline.heads.spec import ClassLoss, HeadConfig, Supervised, Target
from pipeline.types import LossTerms


class LogitCriterion(nn.Module):
    """A loss of logits and labels, and nothing else."""

    def __init__(self, class_loss: ClassLoss) -> None:
        super().__init__()
        self.class_loss = class_loss

    def forward(self, batch: Supervised) -> LossTerms:
        return self.class_loss(batch.logits, batch.labels)


class Linear(HeadConfig):
    """Softmax classifier, the baseline every other head must beat (label smoothing of arXiv 1512.00567, section 7)."""

    reads_features: ClassVar[bool] = False

    kind: Literal["linear"] = "linear"
    """Linear classifier with the loss of the stage."""

    def classifier(self, width: int, num_classes: int) -> nn.Linear:
        return nn.Linear(width, num_classes)

    def criterion(self, target: Target, classifier: nn.Module, class_loss: ClassLoss) -> LogitCriterion:
        return LogitCriterion(class_loss)
