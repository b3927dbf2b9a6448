"""Which samples of the batch a relation puts on the other side of an anchor, in its own stream or in another.

Axes: B samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import Literal

import torch
from torch import Tensor

from pipeline.objectives.repel import Entries, blocked
from pipeline.types import Embeddings, Links

Sides = Literal["own", "cross", "both"]


@dataclass(frozen=True)
class Partners:
    """What stands on the other side of the anchors: weight (B, K) above 0 for positives, negatives (B, K) bool."""

    similarity: Tensor
    weight: Tensor
    negatives: Tensor


def sides_of(streams: Sequence[str], pairs: Sides) -> list[tuple[str, str, str]]:
    """Term, stream of the anchors and stream of the others, for all that is compared; both directions are one term."""
    own = [(name, name, name) for name in streams if pairs != "cross"]
    order = {name: number for number, name in enumerate(streams)}
    cross = [("-".join(sorted((a, b), key=order.__getitem__)), a, b) for a, b in permutations(streams, 2)]
    return own if pairs == "own" else own + cross


def partners_in_batch(embeddings: Embeddings, links: Links, similarity: Tensor, sides: tuple[str, str]) -> Partners:
    """Partners in the batch; repeated, equal and overlapping samples are never negatives."""
    idx, (anchors, others) = embeddings.idx, sides
    content = torch.stack([embeddings.content[name] for name in sides], dim=1)
    here = embeddings.present[anchors][:, None] & embeddings.present[others]
    everything, entries = slice(0, len(idx)), Entries(embeddings.present[others], content, embeddings.spans)
    negatives = here & links.domain & (links.weight <= 0) & (idx[:, None] != idx)
    return Partners(
        similarity,
        torch.where(here & (idx[:, None] != idx), links.weight, 0.0),
        negatives & ~blocked(entries, entries, everything, everything),
    )
