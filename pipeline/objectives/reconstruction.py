"""Reconstruction: what is visible of a signal predicts what was hidden from its encoder.

Axes: B samples, S positions, P values of a patch.
"""

from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from modalities.draws import Draws
from pipeline.objectives.info_nce import masked_mean, precise
from pipeline.objectives.spec import Family, ObjectiveConfig, Source
from pipeline.types import Embeddings, LossTerms

_EPSILON = 1e-6  # as the code of arXiv 2111.06377


def reconstruction_error(predicted: Tensor, target: Tensor, asked: Tensor) -> Tensor:
    """Mean squared error over the values (B, S, P) that were asked for (pretraining of arXiv 2010.02803). Scalar."""
    return masked_mean((precise(predicted) - target).square(), asked)


def standardized(values: Tensor, known: Tensor) -> Tensor:
    """Every patch (B, S, P) less its mean, by its standard deviation (arXiv 2111.06377, section 3), of known values."""
    count = known.sum(dim=2, keepdim=True)
    mean = torch.where(known, values, 0.0).sum(dim=2, keepdim=True) / count.clamp(min=1)
    centred = torch.where(known, values - mean, 0.0)
    variance = centred.square().sum(dim=2, keepdim=True) / (count - 1).clamp(min=1)
    return centred / (variance + _EPSILON).sqrt()


class ReconstructionLoss(nn.Module):
    """One term per stream. The projector that guesses patches is the decoder."""

    def __init__(self, streams: Sequence[str], *, normalize_patches: bool) -> None:
        super().__init__()
        self.streams, self.normalize_patches = tuple(streams), normalize_patches

    def forward(self, embeddings: Embeddings) -> LossTerms:
        return LossTerms({name: self._term(embeddings, name) for name in self.streams})

    def _term(self, embeddings: Embeddings, name: str) -> Tensor:
        patches, present = embeddings.patches[name], embeddings.present[name]
        asked = patches.known & present[:, None, None]
        target = standardized(patches.values, asked) if self.normalize_patches else patches.values
        return reconstruction_error(embeddings.moments[name][0], target, asked)


class Reconstruction(ObjectiveConfig):
    """What objectives share that hide positions of the signal, without augmenting it, and ask for their patches."""

    family: ClassVar[Family] = "pretext"

    normalize_patches: bool = False
    """Whether each patch is asked for less its mean, by its standard deviation (arXiv 2111.06377)."""

    @property
    def reads(self) -> Source:
        return "patches"

    @abstractmethod
    def hidden(self, real: Tensor, draws: Draws) -> Tensor:
        """Positions (B, S) bool to hide among the real ones; a sample's own draws decide, not its neighbours."""

    def build(self, streams: Sequence[str]) -> ReconstructionLoss:
        return ReconstructionLoss(streams, normalize_patches=self.normalize_patches)
