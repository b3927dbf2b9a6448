"""Intra-sample over moments: the same moment in two views attracts, at every scale of time (TS2Vec).

Axes: B samples, S moments, d embedding size.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from pipeline.objectives.info_nce import masked_mean, precise, product
from pipeline.objectives.spec import Family, ObjectiveConfig, Source
from pipeline.types import Embeddings, LossTerms


def closeness(num: int, sharpness: float, like: Tensor) -> Tensor:
    """(num, num) soft assignment 2 / (1 + e^{sharpness |t - t'|}) of moments, in the precision of `like` (SoftCLT,
    arXiv 2312.16424, section 3.3)."""
    moments = torch.arange(num, device=like.device, dtype=like.dtype)
    return 2 * torch.sigmoid(-sharpness * (moments[:, None] - moments).abs())


def dual_contrast(first: Tensor, second: Tensor, mask: Tensor, *, weight: Tensor | None = None) -> Tensor:
    """Contrast along axis 1 of two views, separately for each entry of axis 0 (arXiv 2106.10466, eq. 1 and 2).

    first, second: (G, K, d). For anchor k the positive is k of the other view; negatives are all other entries of
    both views in the same group; similarity is the dot product. mask: (G, K) bool. Scalar mean over real anchors.
    weight: (K, K) how much an entry of either view is a positive too, 1 on the diagonal (SoftCLT, section 3.3).
    """
    num = first.shape[1]
    both = torch.cat([first, second], dim=1)
    real = torch.cat([mask, mask], dim=1)
    logits = product(both, both.transpose(1, 2))
    own = torch.eye(2 * num, dtype=torch.bool, device=first.device)
    logits = logits.masked_fill(own | ~real[:, None, :], -torch.inf)
    rows = torch.arange(2 * num, device=first.device)
    positive = (rows + num) % (2 * num)
    logits = torch.where(real[:, :, None], logits, torch.zeros_like(logits))
    total = logits.logsumexp(dim=2)
    if weight is None:
        losses = total - logits[:, rows, positive]
    else:
        apart = (total[:, :, None] - logits).masked_fill(logits == -torch.inf, 0.0)
        losses = (weight.repeat(2, 2) * apart).sum(dim=2)
    alone = mask.sum(dim=1, keepdim=True) < 2
    return masked_mean(losses, real & ~alone)


def hierarchical_contrast(
    first: Tensor, second: Tensor, mask: Tensor, *, alpha: float, soft: float | None = None
) -> Tensor:
    """Mean over scales of alpha * instance + (1 - alpha) * temporal contrast (arXiv 2106.10466, eq. 3, algorithm 1).

    first, second: (B, S, d) aligned in time; mask: (B, S) bool. Time is max-pooled by two between scales; at the last
    scale (S = 1) only the instance term exists. soft: sharpness of soft assignments in time, by moments of the first
    scale.
    """
    losses: list[Tensor] = []
    while True:
        instance = dual_contrast(first.transpose(0, 1), second.transpose(0, 1), mask.T)
        if first.shape[1] == 1:
            losses.append(alpha * instance)
            return torch.stack(losses).mean()
        weight = None if soft is None else closeness(first.shape[1], soft * 2 ** len(losses), first)
        losses.append(alpha * instance + (1 - alpha) * dual_contrast(first, second, mask, weight=weight))
        first, second = _halve(first, mask), _halve(second, mask)
        mask = functional.max_pool1d(mask[:, None].float(), 2, ceil_mode=True)[:, 0] > 0


def _halve(z: Tensor, mask: Tensor) -> Tensor:
    hidden = z.masked_fill(~mask[:, :, None], torch.finfo(z.dtype).min).transpose(1, 2)
    pooled = functional.max_pool1d(hidden, 2, ceil_mode=True).transpose(1, 2)
    return torch.where(pooled > torch.finfo(z.dtype).min, pooled, torch.zeros_like(pooled))


class MomentsLoss(nn.Module):
    """One hierarchical term per stream."""

    def __init__(self, streams: Sequence[str], alpha: float, *, soft: float | None = None) -> None:
        super().__init__()
        self.streams, self.alpha, self.soft = tuple(streams), alpha, soft

    def forward(self, embeddings: Embeddings) -> LossTerms:
        return LossTerms({name: self._term(embeddings, name) for name in self.streams})

    def _term(self, embeddings: Embeddings, name: str) -> Tensor:
        views = precise(embeddings.moments[name])
        mask = embeddings.moments_mask[name] & embeddings.present[name][:, None]
        return hierarchical_contrast(views[0], views[1], mask, alpha=self.alpha, soft=self.soft)


class Moments(ObjectiveConfig):
    """Moments of the same sample, hierarchically over time (TS2Vec, arXiv 2106.10466)."""

    family: ClassVar[Family] = "contrastive-instance"

    kind: Literal["moments"] = "moments"
    """Hierarchical contrast of moments; augmentations must keep time."""
    alpha: float = Field(default=0.5, ge=0, le=1)
    """Share of the instance term; the rest is temporal."""
    soft: float | None = Field(default=None, gt=0)
    """Sharpness with which neighbouring moments stop being positives too (SoftCLT, arXiv 2312.16424); None: at once."""

    @property
    def num_views(self) -> int:
        return 2

    @property
    def needs_time(self) -> bool:
        return True

    @property
    def reads(self) -> Source:
        return "moments"

    def build(self, streams: Sequence[str]) -> MomentsLoss:
        return MomentsLoss(streams, self.alpha, soft=self.soft)
