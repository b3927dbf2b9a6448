"""The contract every modality fulfils: Codec (bytes <-> tensor), Augment (views), Encoder (tensor -> embedding).

Axes: B samples of a batch, C channels, T time steps, L tokens, D features, S positions of an encoded sequence, P values
of a patch.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol, TypeAlias, runtime_checkable

import numpy as np
import torch
from pydantic import BaseModel, ConfigDict, Field
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


class StreamConfig(Config):
    """What every stream of a recipe can be told."""

    of: str | None = Field(default=None, pattern=r"^[a-z][a-z0-9_]*$")
    """Stream of the data set whose signals it takes; None: the one of its own name. So one recording can have several
    views and encoders, such as of its course in time and of its spectrum."""


class SignalError(ValueError):
    """A payload that does not match its schema. The reader adds shard and key before it reaches the user.

    row: which payload of a batch it is; None outside `Codec.decode`.
    """

    def __init__(self, code: str, message: str, *, expected: object = None, got: object = None, fix: str = "") -> None:
        super().__init__(message)
        self.code, self.expected, self.got, self.fix = code, expected, got, fix
        self.row: int | None = None


@dataclass(frozen=True)
class Signal:
    """One stream of a batch.

    values: sensor (B, C, T) float32 with unobserved entries 0; image (B, 3, H, W), uint8 as it is read (any strides) or
    float32 in [0, 1] as views are, see `scaled`; text (B, L) int64.
    mask: True where observed; sensor (B, C, T), text (B, L), image (B, 1, H, W); None where every entry is observed.
    present: (B,) bool, False where the sample lacks this stream (its values are then zeros).
    hidden: (B, T) or (B, L) bool, steps or tokens that are there although nothing of them is observed, so that an
    encoder makes features of them; only what an encoder's `patching` hides has any. All of an image is always there.
    """

    values: Tensor
    mask: Tensor | None
    present: Tensor
    hidden: Tensor | None = None

    def __len__(self) -> int:
        return len(self.values)

    def scaled(self) -> "Signal":
        """uint8 values as contiguous float32 in [0, 1]; other signals unchanged.

        Images travel as uint8, a quarter of the bytes; augmentations, encoders and statistics call this first.
        """
        if self.values.dtype != torch.uint8:
            return self
        values = self.values.to(torch.float32, memory_format=torch.contiguous_format) / 255.0
        return Signal(values, self.mask, self.present, self.hidden)

    def select(self, rows: Tensor) -> "Signal":
        """Rows of the batch, by integer index (K,)."""
        mask, hidden = (None if each is None else each[rows] for each in (self.mask, self.hidden))
        return Signal(self.values[rows], mask, self.present[rows], hidden)

    def each(self, change: Callable[[Tensor], Tensor]) -> "Signal":
        """`change` of every tensor, for copies to other memory."""
        mask, hidden = (None if each is None else change(each) for each in (self.mask, self.hidden))
        return Signal(change(self.values), mask, change(self.present), hidden)


@dataclass(frozen=True)
class Encoded:
    """What an encoder returns: pooled (B, D), sequence (B, S, D), mask (B, S) bool, True where the position is real."""

    pooled: Tensor
    sequence: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Patches:
    """What a signal shows at every position of its encoded sequence, in the encoder's own units.

    values: (B, S, P) float32, or int64 (B, S, 1) where a patch is one of so many `Patching.categories`.
    known: (B, S, P) bool, False where there is nothing to ask for: nothing was observed, or the stream is absent.
    """

    values: Tensor
    known: Tensor


class Codec(Protocol):
    """Raw value -> bytes of a shard member; the members of a batch -> Signal; for one stream of one data set.

    `decode` is called by several threads at once.
    """

    extensions: tuple[str, ...]
    """Allowed file extensions without the dot; the first is the one `encode` writes."""

    def encode(self, value: np.ndarray | str | bytes) -> bytes:
        """Check a raw value against the schema and serialise it. Raises SignalError."""
        ...

    def decode(self, payloads: Sequence[bytes | None]) -> Signal:
        """The Signal of a batch, one row per payload, None = absent. The memory is its own, not the payloads'.

        Sizes are validated before anything is allocated for them. Raises SignalError with its row.
        """
        ...

    def check(self, payload: bytes) -> None:
        """Raise SignalError for a payload that does not fit the schema; the files of `fit` are not needed."""
        ...

    def statistics(self, payloads: Iterable[bytes]) -> Statistics:
        """What the encoder normalises with, from stored training payloads, e.g. mean and std per channel."""
        ...

    def fit(self, payloads: Iterable[bytes]) -> dict[str, bytes]:
        """Files the codec needs beside the shards, learned from training payloads (a tokenizer); empty for most."""
        ...


def decode_rows(payloads: Sequence[bytes | None], decode: Callable[[int, bytes], None]) -> Tensor:
    """Call `decode(row, payload)` for every payload. Returns present (B,) bool; a SignalError leaves with its row."""
    for row, payload in enumerate(payloads):
        if payload is not None:
            try:
                decode(row, payload)
            except SignalError as error:
                error.row = row
                raise
    return torch.tensor([payload is not None for payload in payloads], dtype=torch.bool)


class Augment(Protocol):
    """Random view of a signal. Shape-preserving; the same draws give the same view. Image views are float32."""

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


class Patching(Protocol):
    """Which part of a signal each position of an encoder's sequence stands for."""

    share: ClassVar[float]
    """Share of the positions that masked modelling of this kind of signal usually hides."""
    stretch: ClassVar[int]
    """Positions that it usually hides in a row."""

    @property
    def width(self) -> int:
        """P, the values of a patch."""
        ...

    @property
    def categories(self) -> int | None:
        """How many different patches there are, where a patch is a number; None where it is values."""
        ...

    def patches(self, signal: Signal) -> Patches: ...

    def hide(self, signal: Signal, positions: Tensor) -> Signal:
        """The signal without any value of these positions (B, S) bool, which the encoder still makes features of."""
        ...


@runtime_checkable
class PatchEncoder(Protocol):
    """An encoder whose positions can be hidden and asked for."""

    @property
    def patching(self) -> Patching: ...


@dataclass(frozen=True)
class Modality:
    """Codec, augment and encoder of one stream, as the pipeline receives them.

    transforms: what an encoder can be asked to recognise, by name, each so strong that it shows.
    """

    codec: Codec
    augment: Augment
    encoder: nn.Module
    transforms: Mapping[str, Augment] = field(default_factory=dict)
