"""Distance-weighted: negatives of all distances alike, and a learned boundary between positives and negatives.

Axes: B samples, D features, C classes.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.heads.distances import euclidean
from pipeline.heads.joint import PairHead, class_pairs
from pipeline.heads.spec import Target
from pipeline.objectives.info_nce import masked_mean, normalize

_NEAREST, _FARTHEST = 0.5, 1.4  # of the paper: nearer ones count as this near, farther ones are never drawn


def inverse_density(distance: Tensor, dim: int) -> Tensor:
    """log(1 / q(D)) of distances D on the unit sphere of R^dim, q(D) = D^{n-2} (1 - D^2/4)^{(n-3)/2} (arXiv 1706.07567,
    eq. 3), D clamped to at least 0.5."""
    d = distance.clamp(min=_NEAREST)
    return (2 - dim) * d.log() - (dim - 3) / 2 * (1 - d.square() / 4).log()


def draw_negatives(distance: Tensor, negatives: Tensor, dim: int, generator: torch.Generator) -> Tensor:
    """(B, B) int64: for each place one negative of its row, drawn by the inverse density of its distance.

    distance, negatives (B, B). Weights are relative to the largest of their row, so that one near pair does not make
    those of all other rows vanish. A row whose negatives are all too far draws among all of them alike; one without
    negatives draws nonsense.
    """
    near = negatives & (distance < _FARTHEST)
    allowed = torch.where(near.any(dim=1, keepdim=True), near, negatives)
    logits = torch.where(near, inverse_density(distance.clamp(max=_FARTHEST).double(), dim), 0.0)
    logits = logits.masked_fill(~allowed, -torch.inf)
    weights = torch.where(allowed, (logits - logits.amax(dim=1, keepdim=True)).exp(), 0.0)
    sums = weights.cumsum(dim=1)
    # float32 draws are below 1 by more than float64 rounds, so the place found always has a weight
    draws = torch.rand(distance.shape, generator=generator).double().to(sums.device) * sums[:, -1:]
    return torch.searchsorted(sums, draws, right=True).clamp(max=distance.shape[1] - 1)


def margin_loss(positive: Tensor, negative: Tensor, boundary: Tensor, *, margin: float) -> Tensor:
    """Mean of the terms above 0 among (D_ap - beta + alpha)_+ and (beta - D_an + alpha)_+ (arXiv 1706.07567, section
    4.2). positive, negative (T,) distances of triplets, boundary (T,) beta of their anchors. Scalar."""
    terms = torch.cat([positive - boundary, boundary - negative]) + margin
    return masked_mean(terms.clamp(min=0), terms > 0)


class DistanceWeightedLoss(nn.Module):
    """Every positive pair of the batch with one drawn negative of its first sample; one learned boundary per class."""

    def __init__(self, num_classes: int, *, margin: float, boundary: float) -> None:
        super().__init__()
        self.margin = margin
        self.boundary = nn.Parameter(torch.full((num_classes,), boundary))

    def forward(self, features: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        distance = euclidean(normalize(features))
        positives, negatives = class_pairs(labels)
        drawn = draw_negatives(distance.detach(), negatives, features.shape[1], generator)
        anchor, positive = (positives & negatives.any(dim=1, keepdim=True)).nonzero(as_tuple=True)
        boundary = self.boundary[labels[anchor]]
        return margin_loss(
            distance[anchor, positive], distance[anchor, drawn[anchor, positive]], boundary, margin=self.margin
        )


class DistanceWeighted(PairHead):
    """Margin loss with distance-weighted sampling (arXiv 1706.07567, eq. 3 to 5) over the whole batch, jointly with a
    linear classifier of the same features."""

    kind: Literal["distance_weighted"] = "distance_weighted"
    """Negatives of all distances."""
    margin: float = Field(default=0.2, ge=0, le=2)
    """Margin alpha on both sides of the boundary."""
    boundary: float = Field(default=1.2, gt=0, le=2)
    """Distance beta that positives stay below and negatives above, at the start; learned for each class."""

    def pair_loss(self, target: Target) -> DistanceWeightedLoss:
        return DistanceWeightedLoss(target.num_classes, margin=self.margin, boundary=self.boundary)
