"""Intra-sample: two augmented views of one signal attract, views of other samples repel."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.objectives.info_nce import distinct, info_nce, masked_mean
from pipeline.objectives.spec import ObjectiveConfig
from pipeline.types import Embeddings, LossTerms


def nt_xent(first: Tensor, second: Tensor, *, present: Tensor, content: Tensor, temperature: float) -> Tensor:
    """NT-Xent, mean over 2B anchors of info_nce against the 2B - 1 others (arXiv 2002.05709, eq. 1).

    first, second: (B, d) views. present: (B,) bool, absent samples are neither anchor nor candidate.
    content: (B,) int64, samples of equal content are not each other's negatives. Scalar.
    """
    num = len(first)
    rows = torch.arange(num, device=first.device)
    usable = present[:, None] & present[None, :] & distinct(content)
    own = torch.eye(num, dtype=torch.bool, device=first.device)
    allowed = torch.cat([torch.cat([usable, usable | own], 1), torch.cat([usable | own, usable], 1)])
    both = torch.cat([first, second])
    positive = torch.cat([rows + num, rows])
    losses = info_nce(both, both, positive, allowed=allowed, temperature=temperature)
    return masked_mean(losses, torch.cat([present, present]))


class IntraSampleLoss(nn.Module):
    """One NT-Xent term per stream, over all pairs of views."""

    def __init__(self, streams: Sequence[str], temperature: float) -> None:
        super().__init__()
        self.streams, self.temperature = tuple(streams), temperature

    def forward(self, embeddings: Embeddings) -> LossTerms:
        return LossTerms({name: self._term(embeddings, name) for name in self.streams})

    def _term(self, embeddings: Embeddings, name: str) -> Tensor:
        views = embeddings.views[name]
        present, content = embeddings.present[name], embeddings.content[name]
        pairs = torch.combinations(torch.arange(len(views))).tolist()
        losses = [
            nt_xent(views[a], views[b], present=present, content=content, temperature=self.temperature)
            for a, b in pairs
        ]
        return torch.stack(losses).mean()


class IntraSample(ObjectiveConfig):
    """Views of the same sample attract (SimCLR form, arXiv 2002.05709)."""

    num_views: ClassVar[int] = 2

    kind: Literal["intra"] = "intra"
    """Intra-sample InfoNCE over augmented views."""
    temperature: float = Field(default=0.2, ge=0.01)
    """Temperature tau of the cosine."""

    def build(self, streams: Sequence[str]) -> IntraSampleLoss:
        return IntraSampleLoss(streams, self.temperature)
