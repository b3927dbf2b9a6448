"""Keyed permutations of range(n) that are computed, not stored.

A generalised Feistel network over Z_a x Z_b with a * b >= n (Black and Rogaway 2002, doi 10.1007/3-540-45760-7_9) and
cycle walking; its round function is the splitmix64 finaliser (Steele et al. 2014, doi 10.1145/2660193.2660195).
Any position of any permutation costs the same: no table, whatever n is.
"""

import numpy as np
from numpy.typing import ArrayLike

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_ROUND_KEYS = np.arange(1, 11, dtype=np.uint64) * _MIX2


def permute(positions: np.ndarray, *, size: ArrayLike, key: ArrayLike) -> np.ndarray:
    """Images (B,) int64 of positions (B,) under the permutation of range(size) that `key` names.

    `size` and `key` are numbers, or one per position (B,); 0 <= position < size is the caller's duty.
    """
    value = np.asarray(positions, np.int64).astype(np.uint64)
    sizes = np.broadcast_to(np.asarray(size).astype(np.uint64), value.shape)
    keys = np.broadcast_to(np.asarray(key).astype(np.uint64), value.shape)
    left = np.ceil(np.sqrt(sizes)).astype(np.uint64)
    right = (sizes + left - np.uint64(1)) // np.maximum(left, np.uint64(1))
    value = _feistel(value, left, right, keys)
    outside = np.flatnonzero(value >= sizes)
    while len(outside):
        value[outside] = _feistel(value[outside], left[outside], right[outside], keys[outside])
        outside = outside[value[outside] >= sizes[outside]]
    return value.astype(np.int64)


def numbered_keys(key: int, numbers: np.ndarray) -> np.ndarray:
    """One key (B,) uint64 per number (B,), e.g. for the windows of an epoch."""
    return _mix(np.asarray(numbers, np.int64).astype(np.uint64) * _GOLDEN + np.uint64(key))


def _feistel(value: np.ndarray, left: np.ndarray, right: np.ndarray, keys: np.ndarray) -> np.ndarray:
    """A bijection of range(left * right)."""
    high, low = np.divmod(value, right)
    for number in range(0, len(_ROUND_KEYS), 2):
        high = (high + _draw(low, keys, number)) % left
        low = (low + _draw(high, keys, number + 1)) % right
    return high * right + low


def _draw(half: np.ndarray, keys: np.ndarray, number: int) -> np.ndarray:
    """62 keyed bits, so that adding a half (below 2^32) cannot wrap."""
    return _mix(_mix(keys + _ROUND_KEYS[number]) + half * _GOLDEN) >> np.uint64(2)


def _mix(x: np.ndarray) -> np.ndarray:
    x = (x ^ (x >> np.uint64(30))) * _MIX1
    x = (x ^ (x >> np.uint64(27))) * _MIX2
    return x ^ (x >> np.uint64(31))
