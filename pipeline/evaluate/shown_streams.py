"""Streams of a few samples as something to look at: series over time, pictures, texts."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from modalities.spec import Signal


@dataclass(frozen=True)
class Series:
    """values: (B, C, T), NaN where unobserved, cut to the longest of them; present: (B,)."""

    values: NDArray[np.float32]
    present: NDArray[np.bool_]
    channels: Sequence[str]
    rate_hz: float


@dataclass(frozen=True)
class Pictures:
    """values: (B, H, W, 3) uint8; present: (B,)."""

    values: NDArray[np.uint8]
    present: NDArray[np.bool_]


@dataclass(frozen=True)
class Texts:
    """values: B texts; present: (B,)."""

    values: Sequence[str]
    present: NDArray[np.bool_]


ShownStream: TypeAlias = Series | Pictures | Texts


def series(signal: Signal, *, channels: Sequence[str], rate_hz: float) -> Series:
    """A sensor signal (B, C, T)."""
    values = signal.values.float().cpu().numpy().copy()
    observed = np.ones(values.shape, bool) if signal.mask is None else signal.mask.cpu().numpy()
    observed = observed & signal.present.cpu().numpy()[:, None, None]
    values[~observed] = np.nan
    steps = np.flatnonzero(observed.any(axis=(0, 1)))
    length = int(steps[-1]) + 1 if len(steps) else 1
    return Series(values[..., :length], signal.present.cpu().numpy(), tuple(channels), rate_hz)


def pictures(signal: Signal) -> Pictures:
    """An image signal (B, 3, H, W)."""
    values = (signal.scaled().values.clamp(0, 1) * 255).round().byte().permute(0, 2, 3, 1)
    return Pictures(values.cpu().numpy(), signal.present.cpu().numpy())


def texts(signal: Signal, words: Callable[[list[int]], str]) -> Texts:
    """A text signal (B, L); `words` turns the tokens of one text into words."""
    tokens, present = signal.values.cpu().numpy(), signal.present.cpu().numpy()
    mask = np.ones(tokens.shape, bool) if signal.mask is None else signal.mask.cpu().numpy()
    values = [words(row[kept].tolist()) if seen else "" for row, kept, seen in zip(tokens, mask, present, strict=True)]
    return Texts(values, present)
