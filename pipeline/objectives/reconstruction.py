"""Reconstruction: what is visible of a signal predicts what was hidden from its encoder.

Axes: B samples, S positions, P values of a patch, C categories.
"""

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import ClassVar, Self

import torch
from pydantic import model_validator
from torch import Tensor, nn
from torch.nn import functional

from modalities.draws import Draws
from modalities.spec import Patching
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


def category_error(logits: Tensor, category: Tensor) -> Tensor:
    """Mean cross-entropy of logits (N, C) with the right one (N,) (masked words of arXiv 1810.04805); 0 for N = 0."""
    total = functional.cross_entropy(precise(logits), category, reduction="sum")
    return total / max(1, len(category))


class ReconstructionLoss(nn.Module):
    """One term per stream. The projector that guesses patches is the decoder; categories are told from its guess by a
    classifier, over what was asked for alone."""

    def __init__(self, streams: Sequence[str], config: "Reconstruction", categories: Mapping[str, int]) -> None:
        super().__init__()
        self.streams, self.normalize_patches = tuple(streams), config.normalize_patches
        dim = config.projection.dim
        self.classifiers = nn.ModuleDict({s: nn.Linear(dim, categories[s]) for s in streams if s in categories})

    def forward(self, embeddings: Embeddings) -> LossTerms:
        return LossTerms({name: self._term(embeddings, name) for name in self.streams})

    def _term(self, embeddings: Embeddings, name: str) -> Tensor:
        patches, present = embeddings.patches[name], embeddings.present[name]
        asked, guess = patches.known & present[:, None, None], embeddings.moments[name][0]
        if name in self.classifiers:
            rows = asked[:, :, 0]
            with torch.autocast(guess.device.type, enabled=False):
                logits = self.classifiers[name](precise(guess)[rows])
            return category_error(logits, patches.values[:, :, 0][rows])
        target = standardized(patches.values, asked) if self.normalize_patches else patches.values
        return reconstruction_error(guess, target, asked)


class Reconstruction(ObjectiveConfig):
    """What objectives share that hide positions of the signal, without augmenting it, and ask for their patches."""

    family: ClassVar[Family] = "pretext"

    normalize_patches: bool = False
    """Whether each patch is asked for less its mean, by its standard deviation (arXiv 2111.06377); tokens are not."""
    decoded_from: str | None = None
    """Stream whose pooled features alone, of the whole signal, tell what is hidden of the others (cross-modal
    reconstruction); None: each stream tells what is hidden of itself."""

    @model_validator(mode="after")
    def _reads_what_it_decodes_from(self) -> Self:
        if self.streams is not None and self.decoded_from not in (None, *self.streams):
            raise ValueError(f"decoded_from ({self.decoded_from}) must be one of streams {list(self.streams)}")
        return self

    @property
    def least_streams(self) -> int:
        return 1 if self.decoded_from is None else 2

    @property
    def reads(self) -> Source:
        return "patches"

    def rebuilt(self, streams: Sequence[str]) -> tuple[str, ...]:
        """Those of the streams it reads whose hidden patches are asked for."""
        return tuple(stream for stream in streams if stream != self.decoded_from)

    @abstractmethod
    def hidden(self, real: Tensor, draws: Draws, usual: Patching) -> Tensor:
        """Positions (B, S) bool to hide among the real ones; a sample's own draws decide, not its neighbours."""

    def build(self, streams: Sequence[str], categories: Mapping[str, int] = MappingProxyType({})) -> ReconstructionLoss:
        """categories: how many there are, by stream whose patches are categories, such as the tokens of texts."""
        return ReconstructionLoss(self.rebuilt(streams), self, categories)
