"""What objectives of pairs compare: two views of one stream, or two streams of one sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor, nn

from pipeline.objectives.info_nce import precise
from pipeline.objectives.spec import ObjectiveConfig
from pipeline.types import Embeddings, LossTerms

Across = Literal["views", "streams"]


@dataclass(frozen=True)
class Pair:
    """Embeddings (B, d) of the same samples, float32 or wider, the streams they are of, and (B,) bool who has both."""

    first: Tensor
    second: Tensor
    streams: tuple[str, str]
    present: Tensor


class PairObjective(ObjectiveConfig):
    """What objectives of pairs share."""

    across: Across = "views"
    """What is compared: two views of a stream, or two streams of a sample."""

    @property
    def num_views(self) -> int:
        return 2 if self.across == "views" else 1

    @property
    def least_streams(self) -> int:
        return 2 if self.across == "streams" else 1


def pairs_of(embeddings: Embeddings, streams: Sequence[str], across: Across) -> dict[str, list[Pair]]:
    """The pairs of each loss term, by its name: a stream's views two by two, or every two streams view by view."""
    if across == "streams":
        return {f"{a}-{b}": _two_streams(embeddings, a, b) for a, b in combinations(streams, 2)}
    views, present = embeddings.views, embeddings.present
    return {s: [Pair(a, b, (s, s), present[s]) for a, b in combinations(precise(views[s]), 2)] for s in streams}


def _two_streams(embeddings: Embeddings, a: str, b: str) -> list[Pair]:
    """Of streams with different numbers of views the last view of the shorter one is paired again."""
    first, second = precise(embeddings.views[a]), precise(embeddings.views[b])
    both = embeddings.present[a] & embeddings.present[b]
    return [
        Pair(first[min(view, len(first) - 1)], second[min(view, len(second) - 1)], (a, b), both)
        for view in range(max(len(first), len(second)))
    ]


def mean_over_pairs(pairs: dict[str, list[Pair]], loss: Callable[[Pair], Tensor]) -> LossTerms:
    """One term per name, the mean loss of its pairs."""
    return LossTerms({name: torch.stack([loss(pair) for pair in found]).mean() for name, found in pairs.items()})


class PairedLoss(nn.Module):
    """One term per stream, or per pair of streams: the mean of a loss without parameters over its pairs."""

    def __init__(self, streams: Sequence[str], across: Across, loss: Callable[[Pair], Tensor]) -> None:
        super().__init__()
        self.streams, self.loss = tuple(streams), loss
        self.across: Across = across

    def forward(self, embeddings: Embeddings) -> LossTerms:
        return mean_over_pairs(pairs_of(embeddings, self.streams, self.across), self.loss)
