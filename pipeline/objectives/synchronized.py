"""Temporal synchronisation: a pair of streams tells whether both show the same moment.

Axes: B samples, d embedding size.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.objectives.info_nce import masked_mean
from pipeline.objectives.pair_logit import PairLogit
from pipeline.objectives.pairs import pairs_of
from pipeline.objectives.repel import blocked, entries_of
from pipeline.objectives.spec import Family, ObjectiveConfig
from pipeline.types import Embeddings, LossTerms

_ALL = slice(None)


def alignment_loss(logits: Tensor, aligned: Tensor, shifted: Tensor) -> Tensor:
    """Binary cross-entropy of aligned against shifted pairs, both kinds with equal weight (arXiv 1804.03641).

    logits (B, B) that i of one stream and j of the other are of one moment; aligned (B,) bool, samples with both;
    shifted (B, B) bool. Scalar.
    """
    of_aligned = masked_mean(functional.softplus(-logits.diagonal()), aligned)
    return (of_aligned + masked_mean(functional.softplus(logits), shifted)) / 2


class SynchronizedLoss(nn.Module):
    """One term per pair of streams, which has a classifier of its own."""

    def __init__(self, streams: Sequence[str], dim: int) -> None:
        super().__init__()
        self.streams = tuple(streams)
        self.classifiers = nn.ModuleDict({f"{a}-{b}": PairLogit(dim) for a, b in combinations(streams, 2)})

    def forward(self, embeddings: Embeddings) -> LossTerms:
        found = {}
        for name, pairs in pairs_of(embeddings, self.streams, "streams").items():
            entries = entries_of(embeddings, *pairs[0].streams)
            shifted = entries.present[:, None] & ~blocked(entries, entries, _ALL, _ALL)
            logits = [self.classifiers[name](pair.first, pair.second) for pair in pairs]
            found[name] = torch.stack([alignment_loss(each, entries.present, shifted) for each in logits]).mean()
        return LossTerms(found)


class Synchronized(ObjectiveConfig):
    """Whether two streams show one moment (arXiv 1804.03641; arXiv 1807.00230)."""

    family: ClassVar[Family] = "pretext"

    kind: Literal["synchronized"] = "synchronized"
    """Aligned or shifted: another stream of the same moment is told from that of any other that does not overlap it. A
    batch of neighbours in time (`pretrain.order`) makes them hard."""

    @property
    def least_streams(self) -> int:
        return 2

    def build(self, streams: Sequence[str]) -> SynchronizedLoss:
        return SynchronizedLoss(streams, self.projection.dim)
