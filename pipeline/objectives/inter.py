"""Inter-sample: another sample with the same pseudo-label attracts, samples with other pseudo-labels repel."""

from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal, Self

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from pipeline.objectives.anchor_share import anchor_share
from pipeline.objectives.block_spread import block_spread
from pipeline.objectives.info_nce import masked_mean, normalize
from pipeline.objectives.margin_nce import MarginForm, margin_nce
from pipeline.objectives.negative_pool import Sampling, negative_pool
from pipeline.objectives.pairwise_cross_entropy import pairwise_cross_entropy
from pipeline.objectives.repel import Repel
from pipeline.objectives.spec import Family, Need, ObjectiveConfig, Source
from pipeline.objectives.sup_con import sup_con
from pipeline.types import Embeddings, LossTerms, Mined


class InterSampleLoss(nn.Module):
    """One term per stream that has been mined, averaged over views; no terms while nothing has been."""

    def __init__(self, streams: Sequence[str], config: "InterSample") -> None:
        super().__init__()
        self.streams, self.config = tuple(streams), config

    def forward(self, embeddings: Embeddings) -> LossTerms:
        mined = embeddings.mined
        return LossTerms({name: self._term(embeddings, name, mined[name]) for name in self.streams if name in mined})

    def monitors(self, embeddings: Embeddings) -> dict[str, float]:
        """Share of anchors with a pseudo-label and a positive."""
        mined = embeddings.mined
        return anchor_share((embeddings.present[s], mined[s].has_positive) for s in self.streams if s in mined)

    def _term(self, embeddings: Embeddings, name: str, mined: Mined) -> Tensor:
        present, mined = embeddings.present[name], _constant(mined)
        losses = [self._view(normalize(z), present, mined) for z in embeddings.views[name]]
        return torch.stack(losses).mean()

    def _view(self, z: Tensor, present: Tensor, mined: Mined) -> Tensor:
        config, negatives = self.config, self.negatives(z, mined)
        usable = present & mined.has_positive & negatives.any(dim=1)
        loss = masked_mean(self._losses(z, mined, negatives), usable)
        labels = torch.where(present, mined.labels, -1)
        if mined.num_clusters == 0:  # too few samples have the stream for clusters
            return loss
        if config.spread > 0:
            loss = loss + config.spread * block_spread(z, labels, num_classes=mined.num_clusters)
        if config.pairwise > 0:
            loss = loss + config.pairwise * pairwise_cross_entropy(
                z, labels, num_classes=mined.num_clusters, temperature=config.temperature
            )
        return loss

    def negatives(self, z: Tensor, mined: Mined) -> Tensor:
        """The candidates (B, M) bool that repel unit rows z (B, d)."""
        return negative_pool(
            z.detach(),
            mined.candidates.to(z.dtype),
            mined.different,
            sampling=self.config.sampling,
            pool=self.config.pool,
            negatives=self.config.negatives,
        )

    def _losses(self, z: Tensor, mined: Mined, negatives: Tensor) -> Tensor:
        config = self.config
        one = margin_nce(
            z,
            mined.positive,
            mined.candidates,
            repel=Repel(allowed=negatives),
            margin=config.margin,
            form=config.margin_form,
            temperature=config.temperature,
        )
        if config.positives == "one":
            return one
        many = sup_con(
            z,
            mined.candidates,
            positives=mined.same,
            negatives=negatives,
            temperature=config.temperature,
            margin=config.margin,
        )
        return torch.where(mined.same.any(dim=1), many, one)


def _constant(mined: Mined) -> Mined:
    """The same without a graph: no gradient may reach the memory."""
    return replace(mined, positive=mined.positive.detach(), candidates=mined.candidates.detach())


class InterSample(ObjectiveConfig):
    """Samples of one pseudo-class attract (InterCLR, arXiv 2008.11702); reads what the memory is filled with."""

    family: ClassVar[Family] = "clustering"

    kind: Literal["inter"] = "inter"
    """MarginNCE between samples that share a pseudo-label in the memory."""
    temperature: float = Field(default=0.2, ge=0.01)
    """Temperature tau of the cosine."""
    margin: float = Field(default=-0.5, ge=-1, le=1)
    """Subtracted from the positive's cosine (or added to its angle in radians): below 0 asks for less."""
    margin_form: MarginForm = "cosine"
    """cosine: s - m. arc: cos(theta + m)."""
    sampling: Sampling = "semihard"
    """Negatives: drawn from the nearest candidates (semihard), the nearest themselves (hard), drawn from the farthest
    (semieasy) or from all (random)."""
    pool: float = Field(default=0.1, gt=0, le=1)
    """Share of the candidates in the pool of semihard and semieasy."""
    negatives: int = Field(default=16384, ge=1)
    """Negatives of an anchor at most."""
    labels: str = Field(default="own", min_length=1)
    """Whose pseudo-labels decide: own (the stream's), fused (of all streams together) or a stream's name, which then
    decides for every stream."""
    granularity: int = Field(default=0, ge=0)
    """Which of the memory's clusterings, counted from 0."""
    positives: Literal["one", "many"] = "one"
    """one: a positive drawn from the whole memory. many: all candidates of the anchor's pseudo-label (SupCon form,
    arXiv 2004.11362), or the drawn one where no candidate has it."""
    spread: float = Field(default=0.0, ge=0)
    """Weight of a term that pushes the centres of pseudo-classes apart (NBC-Softmax, arXiv 2212.08184); 0: off."""
    pairwise: float = Field(default=0.0, ge=0)
    """Weight of a cross-entropy over the batch's pseudo-classes without a classifier (SPCE, arXiv 2003.08983); 0:
    off."""

    @model_validator(mode="after")
    def _many_positives_have_a_cosine_margin(self) -> Self:
        if self.positives == "many" and self.margin_form == "arc":
            raise ValueError("positives: many needs margin_form: cosine")
        return self

    @property
    def reads(self) -> Source:
        return "memory"

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"mined"})

    def build(self, streams: Sequence[str]) -> InterSampleLoss:
        return InterSampleLoss(streams, self)
