"""What objectives of pairs compare: two views of one stream, or two streams of one sample."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import torch
from torch import Tensor

from pipeline.objectives.info_nce import precise
from pipeline.types import Embeddings, LossTerms

Across = Literal["views", "streams"]


@dataclass(frozen=True)
class Pair:
    """Embeddings (B, d) of the same samples, float32 or wider, the streams they are of, and (B,) bool who has both."""

    first: Tensor
    second: Tensor
    streams: tuple[str, str]
    present: Tensor


def views_needed(across: Across) -> int:
    """Views of each stream that `pairs_of` pairs."""
    return 2 if across == "views" else 1


def streams_needed(across: Across) -> int:
    """Streams of which `pairs_of` makes a pair."""
    return 2 if across == "streams" else 1


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
