"""Prediction over moments: the context of the past tells the sample's future from that of other samples (CPC, TS-TCC).

Axes: B samples, S moments, d embedding size, C context size, V views.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import permutations
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.objectives.info_nce import masked_mean, precise, unit_info_nce
from pipeline.objectives.intra import nt_xent
from pipeline.objectives.repel import Entries, Repel, entries_of
from pipeline.objectives.spec import Family, ObjectiveConfig, Source
from pipeline.types import Embeddings, LossTerms


class Foresight(nn.Module):
    """Recurrent context c_t of z_0..z_t, and a matrix W_k for every step ahead (CPC, arXiv 1807.03748, eq. 3)."""

    def __init__(self, dim: int, context: int, steps: int) -> None:
        super().__init__()
        self.recurrent = nn.GRU(dim, context, batch_first=True)
        self.ahead = nn.ModuleList(nn.Linear(context, dim, bias=False) for _ in range(steps))

    def contexts(self, z: Tensor, mask: Tensor) -> Tensor:
        """(B, S, C) of z (B, S, d) float32 or wider; masked moments (B, S) are read as zeros."""
        with torch.autocast(z.device.type, enabled=False):
            return self.recurrent(torch.where(mask[:, :, None], z, 0.0))[0]

    def guess(self, context: Tensor, step: int) -> Tensor:
        """(B, d) what the contexts (B, C) expect `step` moments later."""
        with torch.autocast(context.device.type, enabled=False):
            return self.ahead[step - 1](context)


def prediction_loss(
    foresight: Foresight, contexts: Tensor, future: Tensor, *, mask: Tensor, entries: Entries, number: int
) -> Tensor:
    """InfoNCE of z_{t+k} of the same sample against that of the others, mean over t, k and samples (arXiv 1807.03748,
    eq. 4): the similarity is z_{t+k} . W_k c_t, without a temperature.

    contexts (B, S, C), future (B, S, d) float32 or wider; mask (B, S) bool. number: of moments t, evenly spaced, so
    that the cost does not grow with S. Scalar, zero where nobody has a future.
    """
    rows = torch.arange(len(future), device=future.device)
    losses, kept = [future.sum(dim=(1, 2))], [torch.zeros_like(entries.present)]  # a graph even without a future
    for now, step in _steps(future.shape[1], steps=len(foresight.ahead), number=number):
        there = entries.present & mask[:, now + step]
        repel = Repel(replace(entries, present=there), replace(entries, present=there))
        guessed = foresight.guess(contexts[:, now], step)
        losses.append(unit_info_nce(guessed, future[:, now + step], rows, repel=repel, temperature=1.0))
        kept.append(there & mask[:, now])
    return masked_mean(torch.stack(losses), torch.stack(kept))


def _steps(moments: int, *, steps: int, number: int) -> Iterator[tuple[int, int]]:
    """Moments t and steps k ahead that stay inside."""
    if moments < 2:
        return
    for now in torch.linspace(0, moments - 2, min(number, moments - 1)).round().long().tolist():
        yield from ((now, step) for step in range(1, min(steps, moments - 1 - now) + 1))


def last_context(contexts: Tensor, mask: Tensor) -> Tensor:
    """(B, C) of contexts (B, S, C): that of the last real moment, of the first where there is none."""
    positions = torch.arange(mask.shape[1], device=mask.device)
    last = torch.where(mask, positions, 0).amax(dim=1)
    return contexts[torch.arange(len(contexts), device=mask.device), last]


class ContextualLoss(nn.Module):
    """One term per stream: predictions of every view or pair of views, and the contrast of their contexts."""

    def __init__(self, streams: Sequence[str], config: "Contextual") -> None:
        super().__init__()
        self.config, dim = config, config.projection.dim
        self.foresight = nn.ModuleDict({name: Foresight(dim, config.context, config.steps) for name in streams})

    def forward(self, embeddings: Embeddings) -> LossTerms:
        return LossTerms({name: self._term(embeddings, name) for name in self.foresight})

    def _term(self, embeddings: Embeddings, name: str) -> Tensor:
        config, foresight, views = self.config, self.foresight[name], precise(embeddings.moments[name])
        assert isinstance(foresight, Foresight)  # noqa: S101 - a ModuleDict forgets it
        entries, mask = entries_of(embeddings, name), embeddings.moments_mask[name]
        mask = mask & entries.present[:, None]
        contexts = [foresight.contexts(z, mask) for z in views]
        sides = permutations(range(len(views)), 2) if config.future == "other" else ((v, v) for v in range(len(views)))
        losses = [
            prediction_loss(
                foresight, contexts[past], views[future], mask=mask, entries=entries, number=config.contexts
            )
            for past, future in sides
        ]
        loss = torch.stack(losses).mean()
        if config.future == "own" or config.contrast == 0:
            return loss
        first, second = (last_context(context, mask) for context in contexts[:2])
        return loss + config.contrast * nt_xent(first, second, entries=entries, temperature=config.temperature)


class Contextual(ObjectiveConfig):
    """The past predicts the future of its sample (CPC, arXiv 1807.03748; across views TS-TCC, arXiv 2106.14112)."""

    family: ClassVar[Family] = "contrastive-predictive"

    kind: Literal["contextual"] = "contextual"
    """Prediction of later moments from a recurrent context; augmentations must keep time."""
    future: Literal["own", "other"] = "other"
    """Whose future a view predicts: its own (CPC), or that of the other view (TS-TCC)."""
    steps: int = Field(default=4, ge=1)
    """Moments ahead that are predicted, each by a matrix of its own."""
    contexts: int = Field(default=4, ge=1)
    """Moments of a sample, evenly spaced, from which the future is predicted."""
    context: int = Field(default=64, ge=1)
    """Width of the recurrent context."""
    contrast: float = Field(default=0.7, ge=0)
    """Weight of the contrast of both views' last contexts (`other` only)."""
    temperature: float = Field(default=0.2, ge=0.01)
    """Temperature tau of that contrast."""

    @property
    def num_views(self) -> int:
        return 2 if self.future == "other" else 1

    @property
    def needs_time(self) -> bool:
        return self.future == "other"

    @property
    def reads(self) -> Source:
        return "moments"

    def build(self, streams: Sequence[str]) -> ContextualLoss:
        return ContextualLoss(streams, self)
