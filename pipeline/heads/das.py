"""Densely-anchored sampling: embeddings made beside each real one, on which the pair loss of another head runs.

Axes: B samples, P produced, C classes, D features, S slots of a bank.
"""

from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from pipeline.heads.contra import Contra
from pipeline.heads.distance_weighted import DistanceWeighted
from pipeline.heads.multi_similarity import MultiSimilarity
from pipeline.heads.pairwise import Pairwise
from pipeline.heads.spec import ClassLoss, HeadConfig, Target
from pipeline.heads.sup_con import SupCon
from pipeline.objectives.info_nce import normalize


def scaled_and_shifted(embeddings: Tensor, channels: Tensor, scales: Tensor, shifts: Tensor) -> Tensor:
    """normalize(e * scale + shift) with scale 1 outside the given channels (arXiv 2208.00119, eq. 4 to 7).

    embeddings, shifts (P, D); channels (P, K) int64, scales (P, K). Returns unit rows (P, D).
    """
    factor = torch.ones_like(embeddings).scatter(1, channels, scales.to(embeddings))
    return functional.normalize(embeddings * factor + shifts, dim=1)


class DenselyAnchored(nn.Module):
    """A pair loss of unit rows that sees the real rows of a batch and those produced beside them.

    Buffers, which a checkpoint holds: frequency (C, D), how often a channel was among the largest of a sample of the
    class; bank (C, S, D), the last differences of two samples of a class, newest last; filled (C,).
    """

    frequency: Tensor
    bank: Tensor
    filled: Tensor

    def __init__(self, base: nn.Module, config: "DAS", target: Target) -> None:
        super().__init__()
        self.base, self.config = base, config
        self.register_buffer("frequency", torch.zeros(target.num_classes, target.width, dtype=torch.int64))
        self.register_buffer("bank", torch.zeros(target.num_classes, config.bank, target.width))
        self.register_buffer("filled", torch.zeros(target.num_classes, dtype=torch.int64))

    def forward(self, features: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        real = normalize(features)
        self.observe(real.detach(), labels)
        copies = self.config.produced
        produced = self.produce(real.repeat(copies, 1), labels.repeat(copies), generator)
        return self.base(torch.cat([real, produced]), labels.repeat(copies + 1), generator)

    def observe(self, embeddings: Tensor, labels: Tensor) -> None:
        """Count the largest channels and keep the differences of a batch, before it is made denser."""
        largest = embeddings.topk(min(self.config.channels, embeddings.shape[1]), dim=1).indices
        seen = torch.zeros_like(embeddings, dtype=torch.int64).scatter(1, largest, 1)
        self.frequency.index_add_(0, labels, seen)
        for label in labels.unique().tolist():
            self._keep(label, _differences(embeddings[labels == label])[-self.config.bank :])

    def _keep(self, label: int, differences: Tensor) -> None:
        size = self.config.bank
        self.bank[label] = torch.cat([self.bank[label], differences.to(self.bank)])[-size:]
        self.filled[label] = (self.filled[label] + len(differences)).clamp(max=size)

    def produce(self, embeddings: Tensor, labels: Tensor, generator: torch.Generator) -> Tensor:
        """One unit row (P, D) beside each embedding (P, D)."""
        c = self.config
        embeddings = embeddings.detach() if c.detach else embeddings
        channels = self.frequency[labels].argsort(dim=1, descending=True, stable=True)[:, : c.channels]
        draws = torch.rand(len(labels), channels.shape[1] + 1, generator=generator).to(embeddings.device)
        scales = c.scale_low + (c.scale_high - c.scale_low) * draws[:, 1:]
        filled = self.filled[labels]
        slot = c.bank - 1 - (draws[:, 0] * filled).long().clamp(max=c.bank - 1)
        shifts = torch.where(filled[:, None] > 0, self.bank[labels, slot], 0.0)
        return scaled_and_shifted(embeddings, channels, scales, c.shift * shifts.to(embeddings))


def _differences(embeddings: Tensor) -> Tensor:
    """All differences of two rows, both ways, without those that are 0."""
    found = (embeddings[:, None] - embeddings).flatten(0, 1)
    return found[(found != 0).any(dim=1)]


AnyBase = Annotated[SupCon | Contra | Pairwise | MultiSimilarity | DistanceWeighted, Field(discriminator="kind")]


class DAS(HeadConfig):
    """Densely-anchored sampling (arXiv 2208.00119, sections 3.2 and 3.3) around the pair loss of another head.

    Each real embedding e of class c gets `produced` ones: the channels that are most often among the largest of class c
    are scaled at random, and a random difference of two samples of the class is added. Everything is on the unit
    sphere. The matrix of pairs grows by (produced + 1)^2.
    """

    kind: Literal["das"] = "das"
    """Produced embeddings beside real ones."""
    base: AnyBase = MultiSimilarity()
    """Head whose pair loss runs on both; its weight counts."""
    produced: int = Field(default=3, ge=1, le=16)
    """Embeddings n_p made beside each real one."""
    channels: int = Field(default=4, ge=1)
    """Channels k_s that are counted and scaled."""
    scale_low: float = Field(default=0.99, gt=0)
    """Least factor of a channel."""
    scale_high: float = Field(default=1.01, gt=0)
    """Greatest factor of a channel; the authors use [0.99, 1.01), and [0.5, 2) where there are many classes."""
    shift: float = Field(default=0.01, ge=0)
    """Factor gamma of the added difference; 0.1 for many classes."""
    bank: int = Field(default=10, ge=1, le=1024)
    """Differences kept of each class."""
    detach: bool = True
    """Produced embeddings are constants; false lets their gradient reach the real ones."""

    @model_validator(mode="after")
    def _range(self) -> "DAS":
        if self.scale_low > self.scale_high:
            raise ValueError(f"scale_low is at most scale_high. Got {self.scale_low} and {self.scale_high} instead")
        return self

    def classifier(self, width: int, num_classes: int) -> nn.Module:
        return self.base.classifier(width, num_classes)

    def criterion(self, target: Target, classifier: nn.Module, class_loss: ClassLoss) -> nn.Module:
        return self.base.joint(DenselyAnchored(self.base.pair_loss(target), self, target), class_loss)
