"""The few central types. Axes: B samples, V views, d projected size, S positions, D features."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import torch
from torch import Tensor

from modalities.spec import Patches, Signal


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
    step_labels: name -> (B, T) int64 class number of every step of its stream, -1 where unknown or absent.
    """

    idx: Tensor
    signals: dict[str, Signal]
    content: dict[str, Tensor]
    labels: Tensor | None = None
    step_labels: dict[str, Tensor] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.idx)

    def tensors(self) -> Iterator[Tensor]:
        """Every tensor of the batch."""
        yield from (self.idx, *self.content.values(), *self.step_labels.values())
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
            {name: change(classes) for name, classes in self.step_labels.items()},
        )


@dataclass(frozen=True)
class Mined:
    """What the memory holds for a batch: constants, in unit rows. M candidates were drawn uniformly, in random order.

    positive: (B, d) row of each anchor's drawn positive; has_positive: (B,) bool. candidates: (M, d).
    different: (B, M) bool, candidates that may be negatives: another pseudo-label, no overlap in time.
    same: (B, M) bool, candidates with the anchor's pseudo-label, without its own and overlapping rows.
    labels: (B,) int64 pseudo-label of each anchor, -1 where it has none; below num_clusters.
    positive_at: (B,) and candidates_at: (M,) int64, the pretraining rows these are of, for monitors.
    """

    positive: Tensor
    has_positive: Tensor
    candidates: Tensor
    different: Tensor
    same: Tensor
    labels: Tensor
    num_clusters: int
    positive_at: Tensor | None = None
    candidates_at: Tensor | None = None


@dataclass(frozen=True)
class Links:
    """A relation inside the batch.

    weight: (B, B) float32, above 0 where sample i is linked to sample j; 0 for equal idx. domain: (B, B) bool, pairs
    that may be negatives of each other; False for equal idx.
    """

    weight: Tensor
    domain: Tensor


@dataclass(frozen=True)
class Keys:
    """Momentum keys of a stream: keys (B, d) of this batch, queue (Q, d) of earlier ones; constants, in unit rows.

    content: (Q,) int64 and spans: (Q, 3) int64 of the queued samples (see Batch and Embeddings), None where unknown.
    """

    keys: Tensor
    queue: Tensor
    content: Tensor | None = None
    spans: Tensor | None = None


@dataclass(frozen=True)
class Embeddings:
    """What an objective sees: the *global* batch, already gathered over workers.

    views: stream -> (V, B, d) projected embeddings, not normalised.
    moments: stream -> (V, B, S, D) sequence features, only for objectives that ask for them; moments_mask (B, S) bool.
    patches: stream -> what was hidden from the encoder, for objectives whose moments (1, B, S, P) guess it; 0 and
    unknown where nothing was.
    present: stream -> (B,) bool. content: stream -> (B,) int64 (see Batch). idx: (B,) int64.

    Where an objective needs them: mined, keys: by stream. clusters: stream -> (B, G) int64 pseudo-labels at G
    granularities, -1 unknown. links: the objective's relation. spans: (B, 3) int64 record, start and end in ns (-1
    unknown): windows of one record that overlap are never each other's negatives.
    """

    idx: Tensor
    views: dict[str, Tensor]
    present: dict[str, Tensor]
    content: dict[str, Tensor]
    moments: dict[str, Tensor] = field(default_factory=dict)
    moments_mask: dict[str, Tensor] = field(default_factory=dict)
    patches: dict[str, Patches] = field(default_factory=dict)
    mined: dict[str, Mined] = field(default_factory=dict)
    keys: dict[str, Keys] = field(default_factory=dict)
    clusters: dict[str, Tensor] = field(default_factory=dict)
    links: Links | None = None
    spans: Tensor | None = None


@dataclass(frozen=True)
class LossTerms:
    """Loss terms by name, each a scalar tensor that keeps its graph (zero where nothing contributed)."""

    terms: dict[str, Tensor]

    def total(self) -> Tensor:
        """Mean over the terms."""
        return torch.stack(list(self.terms.values())).mean()
