"""Clustering inside the batch: each side predicts the cluster that the other side is dealt (SwAV).

Axes: B samples, K prototypes, d embedding size.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from pipeline.objectives.info_nce import masked_mean, normalize, product
from pipeline.objectives.pairs import Pair, PairObjective, mean_over_pairs, pairs_of
from pipeline.objectives.spec import Family
from pipeline.objectives.standard_scores import StandardizedObjective
from pipeline.types import Embeddings, LossTerms

_OF_ALL = "*"  # no stream is called so


@torch.no_grad()
def sinkhorn_codes(scores: Tensor, present: Tensor, *, epsilon: float, iterations: int) -> Tensor:
    """Soft clusters (B, K) of equal size: Sinkhorn-Knopp over the present samples (SwAV, arXiv 2006.09882, eq. 3 to 5).

    scores (B, K) cosines with the prototypes; present (B,) bool. Rows sum to 1, those of absent samples are 0. A
    constant, made in logarithms, where no sharpness underflows.
    """
    codes = (scores / epsilon).masked_fill(~present[:, None], -torch.inf)
    for _ in range(iterations):
        codes = codes - _finite(codes.logsumexp(dim=0, keepdim=True))
        codes = codes - _finite(codes.logsumexp(dim=1, keepdim=True))
    return codes.exp()


def _finite(log_sum: Tensor) -> Tensor:
    return log_sum.masked_fill(log_sum == -torch.inf, 0.0)


def code_error(scores: Tensor, codes: Tensor, present: Tensor, *, temperature: float) -> Tensor:
    """Mean cross-entropy of softmax(scores / temperature) (B, K) against codes (B, K) (arXiv 2006.09882, eq. 2)."""
    return masked_mean(-(codes * functional.log_softmax(scores / temperature, dim=1)).sum(dim=1), present)


class SwappedLoss(nn.Module):
    """One term per stream, or per pair of streams. Views share their stream's prototypes; streams share one set."""

    def __init__(self, streams: Sequence[str], config: "Swapped") -> None:
        super().__init__()
        self.streams, self.config = tuple(streams), config
        sets = streams if config.across == "views" else [_OF_ALL]
        shape = config.prototypes, config.projection.dim
        self.prototypes = nn.ParameterDict({name: nn.Parameter(normalize(torch.randn(shape))) for name in sets})

    def forward(self, embeddings: Embeddings) -> LossTerms:
        return mean_over_pairs(pairs_of(embeddings, self.streams, self.config.across), self._swap)

    def _swap(self, pair: Pair) -> Tensor:
        prototypes = self.prototypes[pair.streams[0] if self.config.across == "views" else _OF_ALL]
        directions = (normalize(self.config.scores(z, pair.present)) for z in (pair.first, pair.second))
        first, second = (product(z, normalize(prototypes).T) for z in directions)
        return (self._error(first, second, pair.present) + self._error(second, first, pair.present)) / 2

    def _error(self, scores: Tensor, dealt: Tensor, present: Tensor) -> Tensor:
        config = self.config
        codes = sinkhorn_codes(dealt, present, epsilon=config.epsilon, iterations=config.iterations)
        return code_error(scores, codes, present, temperature=config.temperature)


class Swapped(StandardizedObjective, PairObjective):
    """Each side predicts the other's cluster (SwAV, arXiv 2006.09882; between streams as XDC, arXiv 1911.12667)."""

    family: ClassVar[Family] = "clustering"

    kind: Literal["swapped"] = "swapped"
    """Clusters of the batch as targets, swapped between two sides; prototypes are learned."""
    prototypes: int = Field(default=32, ge=2)
    """Clusters K; all get the same share of a batch, so take fewer than batch_size."""
    temperature: float = Field(default=0.1, ge=0.01)
    """Temperature tau of the prediction."""
    epsilon: float = Field(default=0.05, ge=0.01)
    """Smoothness of the codes: the smaller, the closer to one cluster a sample."""
    iterations: int = Field(default=3, ge=1)
    """Rounds of Sinkhorn-Knopp."""

    def build(self, streams: Sequence[str]) -> SwappedLoss:
        return SwappedLoss(streams, self)
