"""Consistency: two streams of a recording are closer to each other than where one or both of them are augmented.

Axes: B samples, d embedding size.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from pipeline.objectives.info_nce import masked_mean
from pipeline.objectives.intra import nt_xent_of_samples
from pipeline.objectives.repel import Entries, entries_of
from pipeline.objectives.spec import Family, ObjectiveConfig, Source
from pipeline.types import Embeddings, LossTerms


def consistency_loss(first: Tensor, second: Tensor, *, entries: Entries, temperature: float, margin: float) -> Tensor:
    """Mean over samples i of sum_{pair} max(0, S_i^TF - S_i^pair + margin) (L_C of TF-C, arXiv 2206.08496).

    first, second: (2, B, d) of two streams, each as it is and then augmented. S_i is the NT-Xent of sample i between
    the streams: S^TF of both as they are; a pair has either or both of them augmented. Scalar.
    """
    (time, changed_time), (frequency, changed_frequency) = first, second

    def apart(a: Tensor, b: Tensor) -> Tensor:
        return nt_xent_of_samples(a, b, entries=entries, temperature=temperature)

    pairs = [(time, changed_frequency), (changed_time, frequency), (changed_time, changed_frequency)]
    farther = torch.stack([apart(a, b) for a, b in pairs])
    return masked_mean(functional.relu(apart(time, frequency) - farther + margin).sum(dim=0), entries.present)


class ConsistencyLoss(nn.Module):
    """One term per pair of streams."""

    def __init__(self, streams: Sequence[str], config: "Consistency") -> None:
        super().__init__()
        self.pairs, self.config = tuple(combinations(streams, 2)), config

    def forward(self, embeddings: Embeddings) -> LossTerms:
        return LossTerms({f"{a}-{b}": self._term(embeddings, a, b) for a, b in self.pairs})

    def _term(self, embeddings: Embeddings, a: str, b: str) -> Tensor:
        return consistency_loss(
            embeddings.views[a],
            embeddings.views[b],
            entries=entries_of(embeddings, a, b),
            temperature=self.config.temperature,
            margin=self.config.margin,
        )


class Consistency(ObjectiveConfig):
    """The consistency of TF-C (arXiv 2206.08496) between two streams, such as a series and its spectrum.

    It goes beside `intra`, which contrasts the views of each. The authors' code computes it and trains the contrast of
    the streams as they are in its place, which is `cross`; and it has no maximum with 0, without which the margin would
    be a constant and augmented views would be driven apart for ever.
    """

    family: ClassVar[Family] = "contrastive-instance"

    kind: Literal["consistency"] = "consistency"
    """Streams of a sample are closer to each other than to each other's augmented views."""
    temperature: float = Field(default=0.2, ge=0.01)
    """Temperature tau of the cosine."""
    margin: float = Field(default=1.0, ge=0)
    """By how much closer (delta), in nats."""

    @property
    def num_views(self) -> int:
        return 2

    @property
    def least_streams(self) -> int:
        return 2

    @property
    def reads(self) -> Source:
        return "original"

    def build(self, streams: Sequence[str]) -> ConsistencyLoss:
        return ConsistencyLoss(streams, self)
