"""Intra-sample against a queue: the momentum key of another view attracts, keys of earlier batches repel (MoCo)."""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.objectives.info_nce import masked_mean
from pipeline.objectives.margin_nce import margin_nce
from pipeline.objectives.repel import Entries, Repel
from pipeline.objectives.spec import Family, Need, ObjectiveConfig
from pipeline.types import Embeddings, Keys, LossTerms


class MomentumKeysLoss(nn.Module):
    """One term per stream that has keys, averaged over views, each of which is a query."""

    def __init__(self, streams: Sequence[str], temperature: float) -> None:
        super().__init__()
        self.streams, self.temperature = tuple(streams), temperature

    def forward(self, embeddings: Embeddings) -> LossTerms:
        keys = embeddings.keys
        return LossTerms({name: self._term(embeddings, name, keys[name]) for name in self.streams if name in keys})

    def _term(self, embeddings: Embeddings, name: str, keys: Keys) -> Tensor:
        repel = _against_queue(embeddings, name, keys)
        losses = [
            margin_nce(
                z, keys.keys.detach(), keys.queue.detach(), repel=repel, margin=0.0, temperature=self.temperature
            )
            for z in embeddings.views[name]
        ]
        return torch.stack([masked_mean(loss, embeddings.present[name]) for loss in losses]).mean()


def _against_queue(embeddings: Embeddings, name: str, keys: Keys) -> Repel:
    """Queued keys of an equal payload or an overlapping window do not repel, as far as that is known."""
    if keys.content is None:
        return Repel()
    present, everybody = embeddings.present[name], torch.ones_like(keys.content, dtype=torch.bool)
    anchors = Entries(present, embeddings.content[name][:, None], embeddings.spans)
    return Repel(anchors, Entries(everybody, keys.content[:, None], keys.spans))


class MomentumKeys(ObjectiveConfig):
    """Another view's momentum key attracts, the queue repels (MoCo, arXiv 1911.05722, eq. 1)."""

    family: ClassVar[Family] = "contrastive-instance"

    kind: Literal["momentum_keys"] = "momentum_keys"
    """InfoNCE of queries against momentum keys; its projector is the one the memory copies."""
    temperature: float = Field(default=0.2, ge=0.01)
    """Temperature tau of the cosine."""

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"keys"})

    def build(self, streams: Sequence[str]) -> MomentumKeysLoss:
        return MomentumKeysLoss(streams, self.temperature)
