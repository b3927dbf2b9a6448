"""Cross-modal: the streams of one sample attract, streams of other samples repel."""

from collections.abc import Sequence
from itertools import combinations
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.objectives.info_nce import info_nce, masked_mean
from pipeline.objectives.repel import Entries, Repel, entries_of
from pipeline.objectives.spec import Family, Need
from pipeline.objectives.standard_scores import StandardizedObjective, standard_scores
from pipeline.types import Embeddings, LossTerms


def symmetric_info_nce(a: Tensor, b: Tensor, *, entries: Entries, temperature: float) -> Tensor:
    """Mean of both retrieval directions (CLIP form, arXiv 2103.00020, fig. 3).

    a, b: (B, d) of two streams. entries: the B samples, present where they have both streams; the others take no part.
    Scalar, zero when no sample is paired.
    """
    rows, repel = torch.arange(len(a), device=a.device), Repel(entries, entries)
    forward = info_nce(a, b, rows, repel=repel, temperature=temperature)
    backward = info_nce(b, a, rows, repel=repel, temperature=temperature)
    return masked_mean((forward + backward) / 2, entries.present)


class CrossModalLoss(nn.Module):
    """One symmetric InfoNCE term per pair of streams; a pair nobody has in this batch contributes zero."""

    def __init__(
        self, streams: Sequence[str], temperature: float, *, standardize: bool = False, false_negatives: bool = False
    ) -> None:
        super().__init__()
        self.pairs, self.temperature = tuple(combinations(streams, 2)), temperature
        self.standardize, self.false_negatives = standardize, false_negatives

    def forward(self, embeddings: Embeddings) -> LossTerms:
        return LossTerms({f"{a}-{b}": self._term(embeddings, a, b) for a, b in self.pairs})

    def _term(self, embeddings: Embeddings, a: str, b: str) -> Tensor:
        entries = entries_of(embeddings, a, b, clusters=self.false_negatives)
        first, second = embeddings.views[a], embeddings.views[b]
        if self.standardize:
            first, second = _standardize(first, entries.present), _standardize(second, entries.present)
        losses = [
            symmetric_info_nce(
                first[min(view, len(first) - 1)],
                second[min(view, len(second) - 1)],
                entries=entries,
                temperature=self.temperature,
            )
            for view in range(max(len(first), len(second)))
        ]
        return torch.stack(losses).mean()


def _standardize(views: Tensor, keep: Tensor) -> Tensor:
    return torch.stack([standard_scores(z, keep) for z in views])


class CrossModal(StandardizedObjective):
    """Streams of the same sample attract (CLIP form for any number of streams, CMC, arXiv 1906.05849)."""

    family: ClassVar[Family] = "contrastive-instance"

    kind: Literal["cross"] = "cross"
    """Cross-modal InfoNCE over every pair of streams."""
    temperature: float = Field(default=0.1, ge=0.01)
    """Temperature tau of the cosine."""
    standardize: bool = False
    """Give every embedding dimension zero mean and unit variance over the global batch before the cosine. Embeddings of
    fresh encoders share one large direction, and without this the first steps go into unlearning it."""

    false_negatives: bool = False
    """Weigh negatives by the share of clusterings, of either stream, that tell them from the anchor (MEOW, arXiv
    2212.13847)."""

    @property
    def least_streams(self) -> int:
        return 2

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"clusters"} if self.false_negatives else ())

    def build(self, streams: Sequence[str]) -> CrossModalLoss:
        return CrossModalLoss(
            streams, self.temperature, standardize=self.standardize, false_negatives=self.false_negatives
        )
