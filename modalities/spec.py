"""The contract every modality fulfils: Codec (bytes <-> tensor), Augment (views), Encoder (tensor -> embedding).

Axes: B samples of a batch, C channels, T time steps, L tokens, D features, S positions of an encoded sequence.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeAlias

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn

from modalities.draws import Draws

Statistics: TypeAlias = dict[str, list[float]]


class Config(BaseModel):
    """Base of every configuration: frozen, unknown keys refused, defaults validated."""

    model_config = ConfigDict(
        frozen=True,
        extra="forbid",
        validate_default=True,
        use_attribute_docstrings=True,
        allow_inf_nan=False,
    )


class SignalError(ValueError):
    """A payload that does not match its schema. The reader adds shard and key before it reaches the user."""

    def __init__(self, code: str, message: str, *, expected: object = None, got: object = None, fix: str = "") -> None:
        super().__init__(message)
        self.code, self.expected, self.got, self.fix = code, expected, got, fix


@dataclass(frozen=True)
class Signal:
    """One stream of a batch.

    values: sensor (B, C, T) float32 with unobserved entries 0; image (B, 3, H, W) float32 in [0, 1]; text (B, L) int64.
    mask: True where observed; sensor (B, C, T), text (B, L); None where every entry is observed.
    present: (B,) bool, False where the sample lacks this stream (its values are then zeros).
    """

    values: Tensor
    mask: Tensor | None
    present: Tensor

    def __len__(self) -> int:
        return len(self.values)

    def select(self, rows: Tensor) -> "Signal":
        """Rows of the batch, by integer index (K,)."""
        return Signal(self.values[rows], None if self.mask is None else self.mask[rows], self.present[rows])

    def to(self, device: torch.device) -> "Signal":
        """Copy to a device; asynchronous where the memory is pinned."""
        mask = None if self.mask is None else self.mask.to(device, non_blocking=True)
        return Signal(self.values.to(device, non_blocking=True), mask, self.present.to(device, non_blocking=True))


@dataclass(frozen=True)
class Encoded:
    """What an encoder returns: pooled (B, D), sequence (B, S, D), mask (B, S) bool, True where the position is real."""

    pooled: Tensor
    sequence: Tensor
    mask: Tensor


class Codec(Protocol):
    """Bytes of one shard member <-> array, for one stream of one data set."""

    extensions: tuple[str, ...]
    """Allowed file extensions without the dot; the first is the one `encode` writes."""

    def encode(self, value: np.ndarray | str | bytes) -> bytes:
        """Check a raw value against the schema and serialise it. Raises SignalError."""
        ...

    def decode(self, payload: bytes) -> np.ndarray:
        """Inverse of `encode`; validates sizes before allocating. Raises SignalError."""
        ...

    def collate(self, values: Sequence[np.ndarray | None]) -> Signal:
        """Stack decoded arrays (None = absent) into one padded, masked Signal."""
        ...

    def statistics(self, payloads: Iterable[bytes]) -> Statistics:
        """What the encoder normalises with, from stored training payloads, e.g. mean and std per channel."""
        ...

    def fit(self, payloads: Iterable[bytes]) -> dict[str, bytes]:
        """Files the codec needs beside the shards, learned from training payloads (a tokenizer); empty for most."""
        ...


class Augment(Protocol):
    """Random view of a signal. Shape-preserving; the same draws give the same view."""

    keeps_time: bool
    """True when position t of the view still shows moment t of the signal."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal: ...


class Encoder(Protocol):
    """nn.Module from Signal to Encoded. Normalises raw values itself, so that a served model takes raw signals."""

    width: int
    """D, the size of pooled and sequence features."""

    def __call__(self, signal: Signal) -> Encoded: ...

    def blocks(self) -> Sequence[nn.Module]:
        """Trainable blocks in depth order, input side first: layer-wise learning rates follow it."""
        ...


@dataclass(frozen=True)
class Modality:
    """Codec, augment and encoder of one stream, as the pipeline receives them."""

    codec: Codec
    augment: Augment
    encoder: nn.Module
