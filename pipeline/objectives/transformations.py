"""Transformation recognition: an embedding tells which transform its signal went through.

Axes: B samples, V views, d embedding size.
"""

from collections.abc import Sequence
from typing import ClassVar, Literal

import torch
from pydantic import Field, field_validator
from torch import Tensor, nn
from torch.nn import functional

from pipeline.objectives.info_nce import masked_mean, precise
from pipeline.objectives.spec import Family, ObjectiveConfig, Source
from pipeline.types import Embeddings, LossTerms


def recognition_loss(logits: Tensor, present: Tensor) -> Tensor:
    """Mean cross-entropy of the number of each view. logits (V, B, V) of view v in row v; present (B,) bool."""
    made_by = torch.arange(len(logits), device=logits.device)[:, None].expand(logits.shape[:2])
    losses = functional.cross_entropy(logits.flatten(0, 1), made_by.flatten(), reduction="none")
    return masked_mean(losses.unflatten(0, made_by.shape), present.expand(made_by.shape))


class TransformationsLoss(nn.Module):
    """One term per stream, which has a classifier of its own."""

    def __init__(self, streams: Sequence[str], config: "Transformations") -> None:
        super().__init__()
        dim = config.projection.dim
        self.classifiers = nn.ModuleDict({name: nn.Linear(dim, config.num_views) for name in streams})

    def forward(self, embeddings: Embeddings) -> LossTerms:
        return LossTerms({name: self._term(embeddings, name) for name in self.classifiers})

    def _term(self, embeddings: Embeddings, name: str) -> Tensor:
        z = precise(embeddings.views[name])
        with torch.autocast(z.device.type, enabled=False):
            logits = self.classifiers[name](z)
        return recognition_loss(logits, embeddings.present[name])


class Transformations(ObjectiveConfig):
    """Which transform was applied, or none, as one choice among them (the binary tasks of arXiv 1907.11879)."""

    family: ClassVar[Family] = "pretext"

    kind: Literal["transformations"] = "transformations"
    """Recognition of the transform a signal went through."""
    transforms: tuple[str, ...] = Field(
        default=("jitter", "scaling", "negation", "reversal", "permutation", "time_warp"), min_length=1
    )
    """Transforms to be told apart, by name; `rotation` is one more where channels are triples. A signal is encoded once
    for each of them and once as it is."""

    @field_validator("transforms")
    @classmethod
    def _once(cls, transforms: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(transforms)) != len(transforms):
            raise ValueError("a transform is named twice")
        return transforms

    @property
    def num_views(self) -> int:
        return 1 + len(self.transforms)

    @property
    def reads(self) -> Source:
        return "transforms"

    def build(self, streams: Sequence[str]) -> TransformationsLoss:
        return TransformationsLoss(streams, self)
