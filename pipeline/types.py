"""The few central types. Axes: B samples, V views, d projected size, S positions, D features."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from modalities.spec import Signal


@dataclass(frozen=True)
class Cursor:
    """Position in the global order: `step` batches of `epoch` are done."""

    epoch: int
    step: int

    def after(self, steps_per_epoch: int) -> "Cursor":
        """The cursor one step later."""
        return Cursor(self.epoch + 1, 0) if self.step + 1 == steps_per_epoch else Cursor(self.epoch, self.step + 1)


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

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor of the batch."""
        yield from (self.idx, *self.content.values())
        for signal in self.signals.values():
            yield from (tensor for tensor in (signal.values, signal.mask, signal.present) if tensor is not None)
        if self.labels is not None:
            yield self.labels

    @property
    def nbytes(self) -> int:
        """Bytes of all tensors."""
        return sum(tensor.nbytes for tensor in self.tensors())

    def pin_memory(self) -> "Batch":
        """A copy in page-locked memory, from which a device copies by itself."""
        return self._each(Tensor.pin_memory)

    def to(self, device: torch.device) -> "Batch":
        """Copy to a device; asynchronous where the memory is pinned."""
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        return Batch(
            change(self.idx),
            {name: signal.each(change) for name, signal in self.signals.items()},
            {name: change(content) for name, content in self.content.items()},
            None if self.labels is None else change(self.labels),
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
