"""Relational: samples that a relation links attract, samples that it does not link repel."""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from modalities.spec import Config
from pipeline.objectives.anchor_share import anchor_share
from pipeline.objectives.info_nce import masked_mean, normalize, product
from pipeline.objectives.linked_partners import Partners, Sides, partners_in_batch, sides_of
from pipeline.objectives.multi_similarity import multi_similarity
from pipeline.objectives.pair_margin import pair_margin
from pipeline.objectives.spec import Family, Need, ObjectiveConfig, Source
from pipeline.types import Embeddings, LossTerms


class NegativeDomain(Config):
    """Which samples may be an anchor's negatives: "same device, other subject" makes negatives hard."""

    same: str | None = None
    """Group column in which a negative agrees with the anchor; None: any."""
    other: str | None = None
    """Group column in which a negative differs from the anchor; None: any."""


class RelationalLoss(nn.Module):
    """One term per stream (own) and per pair of streams (cross), averaged over views and directions."""

    def __init__(self, streams: Sequence[str], config: "Relational") -> None:
        super().__init__()
        self.config, self.sides = config, sides_of(streams, config.pairs)

    def forward(self, embeddings: Embeddings) -> LossTerms:
        found: dict[str, list[Tensor]] = {}
        for name, anchors, others in self._known(embeddings):
            losses = [self._view(embeddings, anchors, others, view) for view in range(len(embeddings.views[anchors]))]
            found.setdefault(name, []).append(torch.stack(losses).mean())
        return LossTerms({name: torch.stack(losses).mean() for name, losses in found.items()})

    def monitors(self, embeddings: Embeddings) -> dict[str, float]:
        """Share of anchors with a positive: where it is near 0 the relation teaches nothing."""
        return anchor_share(
            (embeddings.present[anchor], (self._partners(embeddings, anchor, other, 0).weight > 0).any(dim=1))
            for _, anchor, other in self._known(embeddings)
        )

    def _known(self, embeddings: Embeddings) -> Iterator[tuple[str, str, str]]:
        """Term, anchor stream and other stream of everything that is there already."""
        for name, anchor, other in self.sides:
            if other in embeddings.mined if self.config.mode == "bank" else embeddings.links is not None:
                yield name, anchor, other

    def _view(self, embeddings: Embeddings, anchors: str, others: str, view: int) -> Tensor:
        config, partners = self.config, self._partners(embeddings, anchors, others, view)
        similarity, weight, negatives = partners.similarity, partners.weight, partners.negatives
        if config.form == "multi_similarity":
            losses, kept = multi_similarity(
                similarity,
                weight,
                negatives,
                scales=(config.attract_scale, config.repel_scale),
                threshold=config.threshold,
                mining=config.mining,
            )
        else:
            losses, kept = pair_margin(
                _distance(similarity),
                weight,
                negatives,
                attract_within=config.attract_within,
                repel_beyond=config.repel_beyond,
            )
        return masked_mean(losses, kept)

    def _partners(self, embeddings: Embeddings, anchors: str, others: str, view: int) -> Partners:
        z = normalize(embeddings.views[anchors][view])
        if embeddings.links is None or self.config.mode == "bank":
            return _in_bank(embeddings, z, anchors, others)
        views = embeddings.views[others]
        similarity = product(z, normalize(views[min(view, len(views) - 1)]).T)
        return partners_in_batch(embeddings, embeddings.links, similarity, (anchors, others))


def _in_bank(embeddings: Embeddings, z: Tensor, anchors: str, others: str) -> Partners:
    """Partners in the memory, column 0 the drawn neighbour; no gradient reaches them."""
    mined, present = embeddings.mined[others], embeddings.present[anchors]
    positive, candidates = mined.positive.detach().to(z.dtype), mined.candidates.detach().to(z.dtype)
    similarity = torch.cat([(z * positive).sum(dim=1, keepdim=True), product(z, candidates.T)], dim=1)
    weight, negatives = torch.zeros_like(similarity), torch.zeros_like(similarity, dtype=torch.bool)
    weight[:, 0] = (mined.has_positive & present).to(z.dtype)
    negatives[:, 1:] = mined.different & present[:, None]
    return Partners(similarity, weight, negatives)


def _distance(cosine: Tensor) -> Tensor:
    """Euclidean distance of unit rows; equal rows have a small one, so that its gradient is finite."""
    return (2 - 2 * cosine).clamp(min=torch.finfo(cosine.dtype).eps).sqrt()


class Relational(ObjectiveConfig):
    """Samples that the user's graph links attract (structure-inducing pre-training, arXiv 2103.10334)."""

    family: ClassVar[Family] = "relational"

    kind: Literal["relational"] = "relational"
    """Contrast of linked with unlinked samples."""
    relation: str = Field(min_length=1)
    """Name of the relation in the recipe."""
    form: Literal["multi_similarity", "contrastive"] = "multi_similarity"
    """multi_similarity: all pairs, hard ones most (arXiv 1904.06627). contrastive: margins of distance."""
    mode: Literal["batch", "bank"] = "batch"
    """Where partners come from: the batch, or the memory, with a neighbour drawn from the whole graph."""
    pairs: Sides = "own"
    """Anchor and neighbour in the same stream, in two streams, or both."""
    negatives: NegativeDomain = NegativeDomain()
    """Which samples may be negatives."""
    attract_scale: float = Field(default=2.0, ge=1e-3, le=1e3)
    """w+ of multi_similarity."""
    repel_scale: float = Field(default=40.0, ge=1e-3, le=1e3)
    """w- of multi_similarity."""
    threshold: float = Field(default=0.5, ge=-1, le=1)
    """Cosine t around which multi_similarity weighs."""
    mining: float | None = Field(default=0.1, ge=0)
    """Margin of the pairs that multi_similarity keeps; None keeps all."""
    attract_within: float = Field(default=0.0, ge=0, le=2)
    """mu+ of contrastive: linked samples are pulled to this distance of unit vectors."""
    repel_beyond: float = Field(default=1.0, gt=0, le=1.4)
    """mu- of contrastive: others are pushed to this distance. Unrelated unit vectors are about 1.4 apart, so that more
    would push for ever."""

    @property
    def least_streams(self) -> int:
        return 2 if self.pairs == "cross" else 1

    @property
    def reads(self) -> Source:
        return "memory" if self.mode == "bank" else "pooled"

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"mined"}) if self.mode == "bank" else frozenset({"links"})

    @property
    def related(self) -> str:
        return self.relation

    def build(self, streams: Sequence[str]) -> RelationalLoss:
        return RelationalLoss(streams, self)
