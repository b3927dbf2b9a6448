"""Attributes beside the class: circumstances that the features shall also tell."""

from collections.abc import Mapping

from torch import Tensor, nn
from torch.nn import functional

from pipeline.objectives.info_nce import masked_mean


class AttributeHeads(nn.Module):
    """One linear classifier of the features for each attribute. They serve training alone."""

    def __init__(self, width: int, num_classes: Mapping[str, int]) -> None:
        super().__init__()
        self.heads = nn.ModuleDict({name: nn.Linear(width, number) for name, number in num_classes.items()})

    def forward(self, features: Tensor, attributes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Mean cross-entropy of every attribute over the samples that have it. features (B, D); attributes (B,) int64
        each, -1 where unlabelled."""
        losses = {}
        for name, head in self.heads.items():
            labels, logits = attributes[name], head(features)
            each = functional.cross_entropy(logits, labels.clamp(min=0), reduction="none")
            losses[name] = masked_mean(each, labels >= 0)
        return losses
