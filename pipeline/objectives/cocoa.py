"""Cross-modal over any number of streams at once: all streams of a sample attract, each stream's other samples repel.

Axes: B samples, M streams, d embedding size.
"""

from collections.abc import Sequence
from itertools import combinations
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.objectives.info_nce import contrast, masked_mean, normalize
from pipeline.objectives.log_sum_exp import log_sum_exp
from pipeline.objectives.repel import Entries, Repel, entries_of
from pipeline.objectives.spec import Family, ObjectiveConfig
from pipeline.types import Embeddings, LossTerms


def attraction(z: Sequence[Tensor], present: Tensor, *, temperature: float) -> Tensor:
    """log sum_{m != m'} e^{s(z_m, z_m') / temperature} over ordered pairs of the streams that a sample has.

    z: M times (B, d) unit rows; present: (M, B) bool. (B,), -inf with less than two streams.
    """
    logits = [
        ((z[m] * z[n]).sum(dim=1) / temperature).masked_fill(~(present[m] & present[n]), -torch.inf)
        for m, n in combinations(range(len(z)), 2)
    ]
    return _log_sum(logits + logits)


def distance(z: Sequence[Tensor], present: Tensor, *, temperature: float) -> Tensor:
    """Mean of e^{(1 - s(z_m, z_m')) / temperature} over ordered pairs, m = m' too, of the streams that a sample has.

    Shapes as in `attraction`. (B,), 0 without any stream.
    """
    count = present.sum(dim=0).to(z[0].dtype)
    total = count
    for m, n in combinations(range(len(z)), 2):
        apart = ((1 - (z[m] * z[n]).sum(dim=1)) / temperature).exp()
        total = total + 2 * torch.where(present[m] & present[n], apart, 0.0)
    return total / count.square().clamp(min=1)


def repulsion(z: Sequence[Tensor], entries: Sequence[Entries], *, temperature: float) -> Tensor:
    """log sum_m mean_{b'} e^{s(z_m^b, z_m^b') / temperature} over the other samples that may repel.

    z: M times (B, d) unit rows; entries: of each stream. (B,), -inf where nobody repels.
    """
    return _log_sum([_repelled(rows, known, temperature) for rows, known in zip(z, entries, strict=True)])


def _repelled(z: Tensor, entries: Entries, temperature: float) -> Tensor:
    repel, nowhere = Repel(entries, entries), torch.zeros_like(z)
    log_number = log_sum_exp(nowhere, nowhere, repel=repel, temperature=1.0)
    repelled = entries.present & (log_number > -torch.inf)
    mean = log_sum_exp(z, z, repel=repel, temperature=temperature) - torch.where(repelled, log_number, 0.0)
    return mean.masked_fill(~repelled, -torch.inf)


def _log_sum(logits: Sequence[Tensor]) -> Tensor:
    """log sum_k e^{l_k} of each sample; its gradient is a zero, not a NaN, where all are -inf."""
    stacked = torch.stack(list(logits))
    nothing = (stacked == -torch.inf).all(dim=0)
    return stacked.masked_fill(nothing, 0.0).logsumexp(dim=0).masked_fill(nothing, -torch.inf)


class CocoaLoss(nn.Module):
    """One term over all streams, averaged over views."""

    def __init__(self, streams: Sequence[str], config: "Cocoa") -> None:
        super().__init__()
        self.streams, self.config = tuple(streams), config

    def forward(self, embeddings: Embeddings) -> LossTerms:
        views = [embeddings.views[name] for name in self.streams]
        rounds = [
            self._view([normalize(z[min(view, len(z) - 1)]) for z in views], embeddings)
            for view in range(max(len(z) for z in views))
        ]
        return LossTerms({"-".join(self.streams): torch.stack(rounds).mean()})

    def _view(self, z: Sequence[Tensor], embeddings: Embeddings) -> Tensor:
        entries, temperature = [entries_of(embeddings, name) for name in self.streams], self.config.temperature
        present = torch.stack([known.present for known in entries])
        repelled, paired = repulsion(z, entries, temperature=temperature), present.sum(dim=0) > 1
        if self.config.form == "sum":
            near = self.config.attraction * distance(z, present, temperature=temperature)
            return masked_mean(near + self.config.repulsion * repelled.exp(), paired)
        attracted = attraction(z, present, temperature=temperature).masked_fill(~paired, 0.0)
        return masked_mean(contrast(attracted, repelled), paired)


class Cocoa(ObjectiveConfig):
    """All streams of a sample attract at once, each stream's other samples repel (COCOA, arXiv 2208.00467)."""

    family: ClassVar[Family] = "contrastive-instance"

    kind: Literal["cocoa"] = "cocoa"
    """Cross-modal contrast of any number of streams in one term; negatives are of the same stream."""
    form: Literal["ratio", "sum"] = "ratio"
    """`ratio`: attraction over attraction and repulsion; `sum`: distances plus repulsion, weighted."""
    temperature: float = Field(default=0.5, ge=0.05)
    """Temperature tau of the cosine."""
    attraction: float = Field(default=1 / 32, ge=0)
    """Weight of the distances between streams (sum)."""
    repulsion: float = Field(default=3.9e-3, ge=0)
    """Weight lambda of the similarity to other samples (sum)."""

    @property
    def least_streams(self) -> int:
        return 2

    def build(self, streams: Sequence[str]) -> CocoaLoss:
        return CocoaLoss(streams, self)
