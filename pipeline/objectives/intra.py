"""Intra-sample: two augmented views of one signal attract, views of other samples repel."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.objectives.info_nce import masked_mean, normalize, unit_info_nce
from pipeline.objectives.repel import Entries, Repel, entries_of
from pipeline.objectives.spec import Family, Need, ObjectiveConfig
from pipeline.types import Embeddings, LossTerms


def nt_xent(first: Tensor, second: Tensor, *, entries: Entries, temperature: float) -> Tensor:
    """NT-Xent, mean over 2B anchors of info_nce against the 2B - 1 others (arXiv 2002.05709, eq. 1).

    first, second: (B, d) views. entries: the B samples; absent ones are neither anchor nor candidate, and the rules of
    `Entries` say which samples repel. Scalar.
    """
    losses = _of_anchors(first, second, entries=entries, temperature=temperature)
    return masked_mean(losses, entries.present.repeat(2))


def nt_xent_of_samples(first: Tensor, second: Tensor, *, entries: Entries, temperature: float) -> Tensor:
    """The same of each sample (B,), the mean of its two anchors; what it says of an absent one means nothing."""
    return _of_anchors(first, second, entries=entries, temperature=temperature).view(2, -1).mean(dim=0)


def _of_anchors(first: Tensor, second: Tensor, *, entries: Entries, temperature: float) -> Tensor:
    """(2B,), the anchors of the first view and then those of the second."""
    rows = torch.arange(len(first), device=first.device)
    both, twice = torch.cat([normalize(first), normalize(second)]), entries.repeat(2)
    positive = torch.cat([rows + len(first), rows])
    return unit_info_nce(both, both, positive, repel=Repel(twice, twice), temperature=temperature)


class IntraSampleLoss(nn.Module):
    """One NT-Xent term per stream, over all pairs of views."""

    def __init__(self, streams: Sequence[str], temperature: float, *, false_negatives: bool = False) -> None:
        super().__init__()
        self.streams, self.temperature, self.false_negatives = tuple(streams), temperature, false_negatives

    def forward(self, embeddings: Embeddings) -> LossTerms:
        return LossTerms({name: self._term(embeddings, name) for name in self.streams})

    def _term(self, embeddings: Embeddings, name: str) -> Tensor:
        views, entries = embeddings.views[name], entries_of(embeddings, name, clusters=self.false_negatives)
        pairs = torch.combinations(torch.arange(len(views))).tolist()
        losses = [nt_xent(views[a], views[b], entries=entries, temperature=self.temperature) for a, b in pairs]
        return torch.stack(losses).mean()


class IntraSample(ObjectiveConfig):
    """Views of the same sample attract (SimCLR form, arXiv 2002.05709)."""

    family: ClassVar[Family] = "contrastive-instance"

    kind: Literal["intra"] = "intra"
    """Intra-sample InfoNCE over augmented views."""
    temperature: float = Field(default=0.2, ge=0.01)
    """Temperature tau of the cosine."""

    false_negatives: bool = False
    """Weigh negatives by the share of clusterings that tell them from the anchor (MEOW, arXiv 2212.13847)."""

    @property
    def num_views(self) -> int:
        return 2

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"clusters"} if self.false_negatives else ())

    def build(self, streams: Sequence[str]) -> IntraSampleLoss:
        return IntraSampleLoss(streams, self.temperature, false_negatives=self.false_negatives)
