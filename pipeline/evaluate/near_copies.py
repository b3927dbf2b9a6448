"""Near copies: samples of two splits that hold one signal up to a little noise, under other keys.

Each sample of a later split is compared with its nearest neighbour in the splits before it, by hand-made features, and
only where the signals themselves agree is it a copy. So what merely looks alike, or never moves, is none.
"""

from collections.abc import Callable, Mapping
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from modalities.spec import Signal
from pipeline.data.split import SPLITS
from pipeline.errors import LeakError
from pipeline.types import Batch

Rows: TypeAlias = NDArray[np.int64]
Matrix: TypeAlias = NDArray[np.float32]
Read: TypeAlias = Callable[[Rows], Batch]

NEAR = 0.1
"""Root mean square difference of two signals, in standard deviations of the signal, up to which they are copies."""
_OBSERVED = 0.5  # share of all observed steps that both signals must have
_FLOOR = 1e-10  # of the mean square: a channel that varies less is constant but for rounding
_SHOWN = 3
_TILE = 64  # signals are compared as float64


def near_copy_leaks(
    split: NDArray[np.str_], features: Matrix, read: Read, *, keys: NDArray[np.str_]
) -> list[LeakError]:
    """Samples of which a near copy lies in another split; all (N, ...), in order of idx.

    features: (N, D), standardised, of the streams that `read` gives. A copy has the streams of its original, each of
    which agrees.
    """
    pairs = [pair for held, others in _sides(split) for pair in _copies(held, others, features, read)]
    if not pairs:
        return []
    shown = [f"{keys[i]} ({split[i]}) ~ {keys[j]} ({split[j]})" for i, j in pairs[:_SHOWN]]
    return [
        LeakError(
            f"{len(pairs)} samples are near copies of samples of another split",
            code="LEAK",
            field="content",
            expected=f"signals that differ by more than {NEAR:.0%} of their deviation",
            got=shown + ["..."] * (len(pairs) > _SHOWN),
            fix="remove one of each pair, or set allow_duplicates: true where equal samples are normal",
        )
    ]


def difference(a: Signal, b: Signal) -> NDArray[np.float64]:
    """Root mean square of a - b in standard deviations of each channel of a, of signals (B, C, ...): (B,).

    Infinite where nothing varies, for such signals say nothing, and where too few steps are observed in both.
    """
    (x, seen), (y, also) = _flat(a), _flat(b)
    both = seen & also
    count = np.maximum(both.sum(axis=2, keepdims=True), 1)
    centred = np.where(both, x - np.where(both, x, 0.0).sum(axis=2, keepdims=True) / count, 0.0)
    variance = (centred**2).sum(axis=2) / count[:, :, 0]
    power = np.where(both, x**2, 0.0).sum(axis=2) / count[:, :, 0]
    varies = (variance > _FLOOR * power) & (variance > 0)
    squares = np.where(both, (x - y) ** 2, 0.0).sum(axis=2) / np.where(varies, variance, 1.0)
    steps = (both.sum(axis=2) * varies).sum(axis=1)
    enough = (both.sum(axis=(1, 2)) >= _OBSERVED * (seen | also).sum(axis=(1, 2))) & (steps > 0)
    return np.where(enough, np.sqrt((squares * varies).sum(axis=1) / np.maximum(steps, 1)), np.inf)


def _sides(split: NDArray[np.str_]) -> list[tuple[Rows, Rows]]:
    """Rows of every split but the first, with those of all splits before it."""
    rows = [np.flatnonzero(split == name) for name in SPLITS]
    sides = [(rows[k], np.concatenate(rows[:k])) for k in range(1, len(SPLITS))]
    return [(held, others) for held, others in sides if len(held) and len(others)]


def _copies(held: Rows, others: Rows, features: Matrix, read: Read) -> list[tuple[int, int]]:
    bank = _unit(features[others])
    found = []
    for start in range(0, len(held), _TILE):
        rows = held[start : start + _TILE]
        nearest = others[(_unit(features[rows]) @ bank.T).argmax(axis=1)]
        same = _agree(read(rows).signals, read(nearest).signals)
        found += list(zip(rows[same].tolist(), nearest[same].tolist(), strict=True))
    return found


def _agree(left: Mapping[str, Signal], right: Mapping[str, Signal]) -> NDArray[np.bool_]:
    """(B,) True where both have the same streams, at least one, and all of them agree."""
    columns, held = [], []
    for name, signal in left.items():
        own, other = signal.present.numpy(), right[name].present.numpy()
        columns.append(np.where(own & other, difference(signal, right[name]) <= NEAR, own == other))
        held.append(own)
    return np.all(columns, axis=0) & np.any(held, axis=0)


def _flat(signal: Signal) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    values = signal.scaled().values.flatten(2).numpy().astype(np.float64)
    mask = np.ones(values.shape, dtype=bool) if signal.mask is None else signal.mask.flatten(2).numpy()
    return values, mask & signal.present.numpy()[:, None, None]


def _unit(x: Matrix) -> Matrix:
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
