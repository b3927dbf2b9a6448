"""Early stopping as a pure function of the validation history, so that a resumed training stops where it would have."""

from dataclasses import dataclass


@dataclass(frozen=True)
class BestEpoch:
    """Validation scores by epoch, higher is better; `patience` epochs without a new best end the training.

    >>> BestEpoch((0.5, 0.7, 0.6, 0.7), patience=2).should_stop, BestEpoch((0.5, 0.7), patience=2).epoch
    (True, 1)
    """

    scores: tuple[float, ...]
    patience: int

    def add(self, score: float) -> "BestEpoch":
        """The history with one more epoch."""
        return BestEpoch((*self.scores, score), self.patience)

    @property
    def epoch(self) -> int:
        """The first epoch of the highest score, from 0; -1 before the first."""
        return max(range(len(self.scores)), key=self.scores.__getitem__, default=-1)

    @property
    def should_stop(self) -> bool:
        """Whether `patience` epochs have passed without a new best."""
        return bool(self.scores) and len(self.scores) - 1 - self.epoch >= self.patience
