"""Neighbourhood: a classifier tells what a relation puts near a sample from everything else, which may be near too.

Axes: B samples, d embedding size.
"""

from collections.abc import Iterator, Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn import functional

from pipeline.objectives.anchor_share import anchor_share
from pipeline.objectives.discriminator import Discriminator
from pipeline.objectives.info_nce import masked_mean, precise
from pipeline.objectives.linked_partners import Partners, Sides, partners_in_batch, sides_of
from pipeline.objectives.spec import Family, Need
from pipeline.objectives.standard_scores import StandardizedObjective
from pipeline.types import Embeddings, LossTerms


def neighbourhood_loss(logits: Tensor, weight: Tensor, unlabelled: Tensor, *, near: float) -> Tensor:
    """Mean over anchors i with a neighbour of half of (arXiv 2106.00750, eq. 1)

    mean_{j near i} -log D(i, j)  +  mean_{j unlabelled} -(w log D(i, j) + (1 - w) log(1 - D(i, j))).

    logits (B, B) of D; weight (B, B), how likely j is drawn from the neighbours of i, 0 where it is none; unlabelled
    (B, B) bool. near: w, the chance of an unlabelled sample to be a neighbour after all. Scalar, a zero with a graph
    where nobody has a neighbour.
    """
    weight, counted = weight.to(logits.dtype), unlabelled.to(logits.dtype)
    linked = weight.sum(dim=1) > 0
    yes, no = functional.softplus(-logits), functional.softplus(logits)
    of_near = _row_mean(yes, weight)
    of_unlabelled = _row_mean(near * yes + (1 - near) * no, counted)
    return masked_mean((of_near + of_unlabelled) / 2, linked)


def _row_mean(values: Tensor, weight: Tensor) -> Tensor:
    total = weight.sum(dim=1)
    kept = torch.where(weight > 0, values, torch.zeros_like(values))  # an absent sample may hold anything
    return (weight * kept).sum(dim=1) / torch.where(total > 0, total, 1.0)


class NeighbourhoodLoss(nn.Module):
    """One term per stream (own) and per pair of streams (cross), averaged over views and directions."""

    def __init__(self, streams: Sequence[str], config: "Neighbourhood") -> None:
        super().__init__()
        self.config, self.streams, self.sides = config, tuple(streams), sides_of(streams, config.pairs)
        dim = config.projection.dim
        self.discriminators = nn.ModuleDict({f"{a}-{b}": Discriminator(dim) for _, a, b in self.sides})

    def forward(self, embeddings: Embeddings) -> LossTerms:
        found: dict[str, list[Tensor]] = {}
        for name, _, partners in self._compared(embeddings):
            loss = neighbourhood_loss(
                partners.similarity, partners.weight, partners.negatives, near=self.config.unlabelled
            )
            found.setdefault(name, []).append(loss)
        return LossTerms({name: torch.stack(losses).mean() for name, losses in found.items()})

    def monitors(self, embeddings: Embeddings) -> dict[str, float]:
        """Share of anchors with a neighbour in the batch: where it is near 0 the relation teaches nothing."""
        return anchor_share(
            (embeddings.present[anchor], (partners.weight > 0).any(dim=1))
            for _, anchor, partners in self._compared(embeddings)
        )

    def _compared(self, embeddings: Embeddings) -> Iterator[tuple[str, str, Partners]]:
        """Term, stream of the anchors and partners of every direction and view; nothing while there are no links."""
        if embeddings.links is None:
            return
        views = {stream: self._scores(embeddings, stream) for stream in self.streams}
        for name, anchor, other in self.sides:
            discriminator, others = self.discriminators[f"{anchor}-{other}"], views[other]
            for view, z in enumerate(views[anchor]):
                logits = discriminator(z, others[min(view, len(others) - 1)])
                yield name, anchor, partners_in_batch(embeddings, embeddings.links, logits, (anchor, other))

    def _scores(self, embeddings: Embeddings, stream: str) -> list[Tensor]:
        return [self.config.scores(z, embeddings.present[stream]) for z in precise(embeddings.views[stream])]


class Neighbourhood(StandardizedObjective):
    """Windows near in time are told from others of the batch (temporal neighbourhood coding, arXiv 2106.00750).

    The paper chooses the radius by a test of stationarity; here it is the `within_s` of a temporal relation, and any
    other relation will do. The discriminator is that of the paper, without dropout. Without `standardize` its loss
    stays at ln 2: one direction that all embeddings share puts each hidden unit on one side of its ReLU, and what is
    left is linear. Batches of neighbours (`pretrain.order`) give every anchor one.
    """

    family: ClassVar[Family] = "contrastive-neighbourhood"

    kind: Literal["neighbourhood"] = "neighbourhood"
    """Classifier of neighbours with positive-unlabelled weights."""
    relation: str = Field(min_length=1)
    """Name of the relation in the recipe, such as a temporal one."""
    unlabelled: float = Field(default=0.05, ge=0, lt=1)
    """Weight w: the chance that a sample which is not linked to the anchor is a neighbour all the same."""
    pairs: Sides = "own"
    """Anchor and neighbour in the same stream, in two streams, or both."""

    @property
    def least_streams(self) -> int:
        return 2 if self.pairs == "cross" else 1

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"links"})

    @property
    def related(self) -> str:
        return self.relation

    def build(self, streams: Sequence[str]) -> NeighbourhoodLoss:
        return NeighbourhoodLoss(streams, self)
