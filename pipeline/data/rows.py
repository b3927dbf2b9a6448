"""The samples a plan goes through, in storage order: a range, or a sorted array that may be memory-mapped."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

from pipeline.errors import ConfigError

_CHUNK = 1 << 20


class Rows(Protocol):
    """Distinct sample numbers in ascending order."""

    def __len__(self) -> int: ...

    def take(self, positions: np.ndarray) -> np.ndarray:
        """Sample numbers (B,) int64 at positions (B,) of the ascending order."""
        ...

    def find(self, idx: np.ndarray) -> np.ndarray:
        """Positions (B,) int64 of sample numbers (B,), -1 for samples that are not among the rows."""
        ...


@dataclass(frozen=True)
class RangeRows:
    """Samples start, start + 1, ..., start + count - 1; costs nothing."""

    start: int
    count: int

    def __len__(self) -> int:
        return self.count

    def take(self, positions: np.ndarray) -> np.ndarray:
        return positions + self.start

    def find(self, idx: np.ndarray) -> np.ndarray:
        inside = (idx >= self.start) & (idx < self.start + self.count)
        return np.where(inside, idx - self.start, -1)


@dataclass(frozen=True)
class SortedRows:
    """Samples of a strictly increasing (n,) int64 array, which is neither copied nor checked: see `rows_of`."""

    idx: np.ndarray

    def __len__(self) -> int:
        return len(self.idx)

    def take(self, positions: np.ndarray) -> np.ndarray:
        return np.asarray(self.idx[positions], np.int64)

    def find(self, idx: np.ndarray) -> np.ndarray:
        found = np.searchsorted(self.idx, idx)
        inside = np.minimum(found, len(self.idx) - 1)
        return np.where(self.idx[inside] == idx, inside, -1)


def rows_of(idx: np.ndarray) -> Rows:
    """Rows of an array of sample numbers in any order. Raises ConfigError where one repeats."""
    idx = np.asarray(idx, np.int64)
    if not _is_increasing(idx):
        distinct = np.unique(idx)
        if len(distinct) != len(idx):
            raise ConfigError("sample numbers repeat", code="CONFIG_VALUE", expected=len(distinct), got=len(idx))
        idx = distinct
    if len(idx) and int(idx[-1]) - int(idx[0]) + 1 == len(idx):
        return RangeRows(int(idx[0]), len(idx))
    return SortedRows(idx)


def _is_increasing(idx: np.ndarray) -> bool:
    """In chunks: a comparison of the whole array would take a copy's memory."""
    return all(bool((np.diff(idx[i : i + _CHUNK + 1]) > 0).all()) for i in range(0, len(idx), _CHUNK))
