"""NBC: beside the classifier, the class centres of the batch repel one another."""

from typing import Literal

from pydantic import Field
from torch import Tensor, nn

from pipeline.heads.spec import ClassLoss, HeadConfig, Supervised, Target
from pipeline.objectives.block_spread import block_spread
from pipeline.types import LossTerms


class BlockCriterion(nn.Module):
    """(1 - ratio) of the class loss and ratio of the spreading of class centres."""

    def __init__(self, config: "NBC", num_classes: int, class_loss: ClassLoss) -> None:
        super().__init__()
        self.config, self.num_classes, self.class_loss = config, num_classes, class_loss

    def forward(self, batch: Supervised) -> LossTerms:
        c = self.config
        classes = self.class_loss(batch.logits, batch.labels).terms
        weighted = {name: (1 - c.ratio) * loss for name, loss in classes.items()}
        return LossTerms({**weighted, c.kind: c.ratio * self._spread(batch.features[0], batch.labels)})

    def _spread(self, features: Tensor, labels: Tensor) -> Tensor:
        c = self.config
        return block_spread(features, labels, num_classes=self.num_classes, scale=c.scale, divide=c.divide_by_classes)


class NBC(HeadConfig):
    """NBC-Softmax (arXiv 2212.08184): (1 - rho) L_softmax + rho L_NBC, beside a linear classifier of the same features.

    L_NBC = (1/C) mean_c log(sum_c' e^{scale cos(mu_c, mu_c')}) of the class means of the batch, no gradient without a
    second class.
    """

    kind: Literal["nbc"] = "nbc"
    """Class centres repel."""
    ratio: float = Field(default=0.5, ge=0, le=1)
    """Share rho of the repulsion."""
    scale: float = Field(default=0.2, gt=0)
    """Factor of the cosines, which the paper calls a temperature but multiplies with."""
    divide_by_classes: bool = True
    """Divide by the number of all classes as the paper does, which lets the term vanish where there are many."""

    def classifier(self, width: int, num_classes: int) -> nn.Linear:
        return nn.Linear(width, num_classes)

    def criterion(self, target: Target, classifier: nn.Module, class_loss: ClassLoss) -> BlockCriterion:
        return BlockCriterion(self, target.num_classes, class_loss)
