"""Two views of a sample in a graph: which samples it is linked to (coarse) and what it is itself (fine), after MEOW.

Axes: B samples, G granularities, C clusters, d embedding size.
"""

import math
from collections.abc import Sequence
from itertools import permutations
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.objectives.anchor_share import anchor_share
from pipeline.objectives.block_spread import class_means
from pipeline.objectives.info_nce import masked_mean, normalize, product
from pipeline.objectives.log_sum_exp import log_sum_exp
from pipeline.objectives.repel import Repel, entries_of
from pipeline.objectives.spec import Family, Need, ObjectiveConfig
from pipeline.types import Embeddings, Links, LossTerms


def view_contrast(coarse: Tensor, fine: Tensor, *, repel: Repel, temperature: float) -> tuple[Tensor, Tensor]:
    """-log e^{c_i.f_i/tau} / sum_{j != i} W_ij e^{c_i.f_j/tau}, W_ij in how many clusterings i and j differ (MEOW's
    L_info, arXiv 2212.13847).

    coarse, fine (B, d) unit rows; repel gives who may repel and the clusters, W = 1 without any. The positive is not in
    the denominator, so the loss can be below 0. Returns losses (B,), 0 where nobody repels, and (B,) bool which count.
    """
    own = torch.arange(len(coarse), device=coarse.device)
    rules = Repel(repel.anchors, repel.candidates, repel.allowed, positive=own)
    repelled = log_sum_exp(coarse, fine, repel=rules, temperature=temperature)
    kept = repelled > -torch.inf
    clusters = None if repel.anchors is None else repel.anchors.clusters
    number = 1 if clusters is None else clusters.shape[1]
    losses = torch.where(kept, repelled, 0.0) + math.log(number) - (coarse * fine).sum(dim=1) / temperature
    return torch.where(kept, losses, 0.0), kept


def prototype_contrast(
    coarse: Tensor, prototypes: Tensor, labels: Tensor, *, exists: Tensor, concentration: Tensor | float
) -> Tensor:
    """Mean of -log e^{c_i.mu_y/phi_y} / (N/k sum_c e^{c_i.mu_c/phi_c}) (MEOW's L_proto, arXiv 2212.13847).

    coarse (B, d) unit rows; prototypes (C, d) constants, of which k exist (C,) bool; labels (B,) int64, -1 for rows
    that take no part; N the rows that do. concentration: phi, one for all or (C,). Scalar, zero with no rows.
    """
    phi = torch.as_tensor(concentration, device=prototypes.device).reshape(-1, 1)
    kept, scaled = labels >= 0, (prototypes / phi).detach()
    repelled = log_sum_exp(coarse, scaled, repel=Repel(allowed=exists.expand(len(coarse), -1)), temperature=1.0)
    share = kept.sum().clamp(min=1) / exists.sum().clamp(min=1)
    losses = share.log() + torch.where(kept, repelled, 0.0) - (coarse * scaled[labels.clamp(min=0)]).sum(dim=1)
    return masked_mean(losses, kept)


def neighbour_mean(z: Tensor, links: Links, present: Tensor) -> tuple[Tensor, Tensor]:
    """Unit rows (B, d) of the weighted mean over the linked samples that are present, and (B,) bool who has any."""
    weight = torch.where(present, links.weight, 0.0).to(z.dtype)
    total = weight.sum(dim=1)
    share = weight / torch.where(total > 0, total, 1.0)[:, None]
    mean = product(share, torch.where(present[:, None], z, 0.0))
    return normalize(mean), total > 0


class MetaPathLoss(nn.Module):
    """One term per stream, averaged over ordered pairs of views."""

    def __init__(self, streams: Sequence[str], config: "MetaPathViews") -> None:
        super().__init__()
        self.streams, self.config = tuple(streams), config

    def forward(self, embeddings: Embeddings) -> LossTerms:
        links = embeddings.links
        if links is None:
            return LossTerms({})
        return LossTerms({name: self._term(embeddings, links, name) for name in self.streams})

    def monitors(self, embeddings: Embeddings) -> dict[str, float]:
        """Share of samples with a linked sample in the batch: where it is near 0 the relation teaches nothing."""
        links = embeddings.links
        if links is None:
            return {}
        present = [embeddings.present[name] for name in self.streams]
        return anchor_share((here, ((links.weight > 0) & here).any(dim=1)) for here in present)

    def _term(self, embeddings: Embeddings, links: Links, name: str) -> Tensor:
        views = [normalize(z) for z in embeddings.views[name]]
        return torch.stack([self._pair(embeddings, links, name, pair) for pair in permutations(views, 2)]).mean()

    def _pair(self, embeddings: Embeddings, links: Links, name: str, views: tuple[Tensor, Tensor]) -> Tensor:
        """One view's neighbours against the other view itself. Linked samples do not repel: the neighbours are they."""
        fine, entries = views[0], entries_of(embeddings, name, clusters=self.config.false_negatives)
        coarse, linked = neighbour_mean(views[1], links, entries.present)
        repel = Repel(entries, entries, allowed=links.domain & (links.weight <= 0))
        losses, kept = view_contrast(coarse, fine, repel=repel, temperature=self.config.temperature)
        kept = kept & linked & entries.present
        loss = masked_mean(losses, kept)
        if self.config.prototypes > 0 and name in embeddings.clusters:
            labels = torch.where((linked & entries.present)[:, None], embeddings.clusters[name], -1)
            loss = loss + self.config.prototypes * self._prototypes(coarse, fine, labels)
        return loss

    def _prototypes(self, coarse: Tensor, fine: Tensor, labels: Tensor) -> Tensor:
        found = []
        for column in labels.T:
            means, counts = class_means(fine.detach(), column, int(column.max().clamp(min=0)) + 1)
            found.append(
                prototype_contrast(
                    coarse,
                    normalize(means),
                    column,
                    exists=counts > 0,
                    concentration=self.config.temperature,
                )
            )
        return torch.stack(found).mean()


class MetaPathViews(ObjectiveConfig):
    """A sample attracts the mean of the samples a relation links it to (MEOW, arXiv 2212.13847)."""

    family: ClassVar[Family] = "relational"

    kind: Literal["meta_path"] = "meta_path"
    """Coarse against fine view of a relation, for example of a meta-path."""
    relation: str = Field(min_length=1)
    """Name of the relation in the recipe."""
    temperature: float = Field(default=0.4, ge=0.01)
    """Temperature tau of the cosine."""
    false_negatives: bool = True
    """Weigh negatives by the number of clusterings that tell them from the anchor; needs the memory."""
    prototypes: float = Field(default=0.0, ge=0)
    """Weight of the contrast of coarse views with the batch's cluster means (L_proto); needs the memory. 0: off."""

    @property
    def num_views(self) -> int:
        return 2

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"links", "clusters"} if self.false_negatives or self.prototypes > 0 else {"links"})

    @property
    def related(self) -> str:
        return self.relation

    def build(self, streams: Sequence[str]) -> MetaPathLoss:
        return MetaPathLoss(streams, self)
