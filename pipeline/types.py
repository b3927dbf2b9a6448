"""The few central types. Axes: B samples, V views, d projected size, S positions, D features."""

from dataclasses import dataclass, field

import torch
from torch import Tensor

from modalities.spec import Signal


@dataclass(frozen=True)
class Cursor:
    """Position in the global order: `step` batches of `epoch` are done."""

    epoch: int
    step: int


@dataclass(frozen=True)
class Batch:
    """One canonical micro-batch as the reader delivers it.

    idx: (B,) int64 stable sample numbers. signals: stream name -> Signal.
    content: stream name -> (B,) int64 hash of the stored payload (equal payloads have equal hashes; absent = -1-idx).
    labels: (B,) int64 class numbers, -1 where unlabelled; None where no label column was asked for.
    """

    idx: Tensor
    signals: dict[str, Signal]
    content: dict[str, Tensor]
    labels: Tensor | None = None

    def __len__(self) -> int:
        return len(self.idx)

    def to(self, device: torch.device) -> "Batch":
        return Batch(
            self.idx.to(device),
            {name: signal.to(device) for name, signal in self.signals.items()},
            {name: content.to(device) for name, content in self.content.items()},
            None if self.labels is None else self.labels.to(device),
        )


@dataclass(frozen=True)
class Embeddings:
    """What an objective sees: the *global* batch, already gathered over workers.

    views: stream -> (V, B, d) projected embeddings, not normalised.
    moments: stream -> (V, B, S, D) sequence features, only for objectives that ask for them; moments_mask (B, S) bool.
    present: stream -> (B,) bool. content: stream -> (B,) int64 (see Batch). idx: (B,) int64.
    """

    idx: Tensor
    views: dict[str, Tensor]
    present: dict[str, Tensor]
    content: dict[str, Tensor]
    moments: dict[str, Tensor] = field(default_factory=dict)
    moments_mask: dict[str, Tensor] = field(default_factory=dict)


@dataclass(frozen=True)
class LossTerms:
    """Loss terms by name, each a scalar tensor that keeps its graph (zero where nothing contributed)."""

    terms: dict[str, Tensor]

    def total(self) -> Tensor:
        """Mean over the terms."""
        return torch.stack(list(self.terms.values())).mean()
