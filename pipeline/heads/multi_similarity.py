"""Multi-similarity: all positives and negatives of a sample, the hard ones most."""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.heads.joint import PairHead, class_pairs
from pipeline.heads.spec import Target
from pipeline.objectives.info_nce import normalize, product
from pipeline.objectives.multi_similarity import multi_similarity


class MultiSimilarityLoss(nn.Module):
    """Mean over all samples of the batch; one that keeps no pair counts as 0."""

    def __init__(self, config: "MultiSimilarity") -> None:
        super().__init__()
        self.config = config

    def forward(self, features: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        c, unit = self.config, normalize(features)
        positives, negatives = class_pairs(labels)
        losses, _ = multi_similarity(
            product(unit, unit.T),
            positives.to(unit.dtype),
            negatives,
            scales=(c.attract_scale, c.repel_scale),
            threshold=c.threshold,
            mining=c.mining,
        )
        return losses.mean()


class MultiSimilarity(PairHead):
    """Multi-similarity loss with its miner (arXiv 1904.06627, eq. 11, 12 and 15) over the whole batch, jointly with a
    linear classifier of the same features."""

    kind: Literal["multi_similarity"] = "multi_similarity"
    """Hard pairs most."""
    attract_scale: float = Field(default=2.0, gt=0)
    """Factor alpha of positive cosines."""
    repel_scale: float = Field(default=50.0, gt=0)
    """Factor beta of negative cosines; the code of the authors has 40."""
    threshold: float = Field(default=1.0, ge=-1, le=1)
    """Cosine lambda between near and far; the code of the authors has 0.5."""
    mining: float | None = Field(default=0.1, ge=0)
    """How much less hard than the hardest opposite a pair may be; None keeps all pairs."""

    def pair_loss(self, target: Target) -> MultiSimilarityLoss:
        return MultiSimilarityLoss(self)
