"""Moments of a decoded batch by split, as verification adds them up. Axes: B samples, C channels."""

import numpy as np

from modalities.spec import Signal, Statistics
from pipeline.data.drift import Moments

_PICTURES = 16  # as floats, these fit into the processor's cache


def moments(signal: Signal, statistics: Statistics, splits: np.ndarray) -> dict[str, Moments]:
    """Moments of a batch by split (B,); none for streams whose statistics are not a mean per channel."""
    if "mean" not in statistics or signal.values.ndim < 2 or signal.values.shape[1] != len(statistics["mean"]):
        return {}
    centre = np.asarray(statistics["mean"], np.float32)
    columns = _of_bytes(signal, centre) if signal.values.ndim == 4 else None
    count, total, squares = _of_floats(signal, centre) if columns is None else columns
    rows = {name: (splits == name) & signal.present.numpy() for name in np.unique(splits).tolist()}
    return {
        name: Moments(
            centre.astype(np.float64), *(part[own].sum(axis=0, dtype=np.float64) for part in (count, total, squares))
        )
        for name, own in rows.items()
        if own.any()
    }


def _of_floats(signal: Signal, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Count, sum and sum of squares of values (B, C, ...) less `centre` (C,), each (B, C)."""
    signal = signal.scaled()
    moved = signal.values.flatten(2).numpy() - centre[:, None]
    if signal.mask is not None:
        observed = signal.mask.flatten(2).numpy()
        moved *= observed  # what is not observed is 0, and so finite
        count = np.count_nonzero(observed, axis=2)
    else:
        count = np.full(moved.shape[:2], moved.shape[2])
    # numpy adds pairwise along the last axis: float32 is exact enough within one sample
    return count, moved.sum(axis=2), np.einsum("bct,bct->bc", moved, moved)


def _of_bytes(signal: Signal, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray] | None:
    """`_of_floats` for pictures uint8 that lie in memory as (B, H, W, C); None for others.

    Sums of bytes and of their squares along a column are whole numbers, which float32 holds exactly up to 2^24 (258
    rows for squares).
    """
    pixels = signal.values.permute(0, 2, 3, 1).numpy()
    if pixels.dtype != np.uint8 or not pixels.flags.c_contiguous or signal.mask is not None:
        return None
    size, height, width, channels = pixels.shape
    lines, ones = pixels.reshape(size, height, width * channels), np.ones((1, height), np.float32)
    sums = np.empty((2, size, width * channels), np.float32)
    for start in range(0, size, _PICTURES):
        part = slice(start, start + _PICTURES)
        values = lines[part].astype(np.float32)
        sums[0, part] = (ones @ values)[:, 0]
        values *= values
        sums[1, part] = (ones @ values)[:, 0]
    total, squares = sums.reshape(2, size, width, channels).sum(axis=2, dtype=np.float64) / [[[255]], [[255**2]]]
    number, middle = height * width, centre.astype(np.float64)
    around = squares - 2 * middle * total + number * middle**2
    return np.full(total.shape, number), total - number * middle, around
