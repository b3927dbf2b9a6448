"""Prediction without negatives: a predictor guesses the other side, whose gradient is stopped (SimSiam, BYOL).

Axes: B samples, d embedding size.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.objectives.info_nce import masked_mean, normalize, precise
from pipeline.objectives.pairs import PairObjective, pairs_of
from pipeline.objectives.predictor import Predictor
from pipeline.objectives.spec import Family, Need
from pipeline.objectives.standard_scores import StandardizedObjective
from pipeline.types import Embeddings, LossTerms


def prediction_error(predicted: Tensor, target: Tensor, present: Tensor) -> Tensor:
    """Mean of 2 - 2 cos(predicted, target) over the present rows (B, d) (BYOL, arXiv 2006.07733, eq. 2).

    No gradient reaches the target.
    """
    return masked_mean(2 - 2 * (normalize(predicted) * normalize(target.detach())).sum(dim=1), present)


@dataclass(frozen=True)
class Guess:
    """Rows (B, d) of stream `of` that guess the rows of stream `at`; present (B,) bool."""

    rows: Tensor
    target: Tensor
    of: str
    at: str
    present: Tensor


class PredictiveLoss(nn.Module):
    """One term per stream, or per pair of streams. Every stream that is guessed from a stream has its own predictor."""

    def __init__(self, streams: Sequence[str], config: "Predictive") -> None:
        super().__init__()
        self.streams, self.config = tuple(streams), config
        self.guessed = list(permutations(streams, 2)) if config.across == "streams" else [(s, s) for s in streams]
        dim, hidden = config.projection.dim, config.hidden
        self.predictors = nn.ModuleDict({f"{of}>{at}": Predictor(dim, hidden) for of, at in self.guessed})

    def forward(self, embeddings: Embeddings) -> LossTerms:
        guesses = self._of_keys(embeddings) if self.config.target == "key" else self._of_views(embeddings)
        found: dict[str, list[Tensor]] = {}
        for name, guess in guesses:
            rows, target = (self.config.scores(z, guess.present) for z in (guess.rows, guess.target))
            predicted = self.predictors[f"{guess.of}>{guess.at}"](rows, guess.present)
            found.setdefault(name, []).append(prediction_error(predicted, target, guess.present))
        return LossTerms({name: torch.stack(losses).mean() for name, losses in found.items()})

    def _of_views(self, embeddings: Embeddings) -> Iterator[tuple[str, Guess]]:
        """Both directions of every pair."""
        for name, pairs in pairs_of(embeddings, self.streams, self.config.across).items():
            for pair in pairs:
                a, b = pair.streams
                yield name, Guess(pair.first, pair.second, a, b, pair.present)
                yield name, Guess(pair.second, pair.first, b, a, pair.present)

    def _of_keys(self, embeddings: Embeddings) -> Iterator[tuple[str, Guess]]:
        """Keys are of the last view: the other views of their stream guess them, or every view of another stream."""
        present = embeddings.present
        for of, at in self.guessed:
            if at not in embeddings.keys:
                continue
            views = precise(embeddings.views[of])
            keys = embeddings.keys[at].keys.to(views.dtype)
            name = at if of == at else "-".join(s for s in self.streams if s in (of, at))
            for rows in views[:-1] if of == at else views:
                yield name, Guess(rows, keys, of, at, present[of] & present[at])


class Predictive(StandardizedObjective, PairObjective):
    """One side predicts the other, which stands still (SimSiam, arXiv 2011.10566, eq. 4; BYOL, arXiv 2006.07733)."""

    family: ClassVar[Family] = "regularisation"

    kind: Literal["predictive"] = "predictive"
    """Prediction of the other side without negatives."""
    target: Literal["view", "key"] = "view"
    """`view`: the other side itself, its gradient stopped; `key`: its momentum key, with this objective as the memory's
    source."""
    hidden: int = Field(default=64, ge=1)
    """Width of the predictor's hidden layer."""

    @property
    def needs(self) -> frozenset[Need]:
        return frozenset({"keys"} if self.target == "key" else ())

    def build(self, streams: Sequence[str]) -> PredictiveLoss:
        return PredictiveLoss(streams, self)
