"""A fusion of streams with its numbers fixed: what training rows gave, applied to any rows, one by one or together."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Matrix = NDArray[np.float32]

_CONSTANT = 1e-6  # a deviation below this share of the mean is float32 rounding


@dataclass(frozen=True)
class Standardisation:
    """(x - mean) / scale per column; mean, scale: (D,) float64, an infinite scale where a column was constant."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]

    @classmethod
    def of(cls, rows: NDArray[np.floating]) -> "Standardisation":
        """From training rows (n, D); without any, columns become 0."""
        if not len(rows):
            return cls(np.zeros(rows.shape[1]), np.full(rows.shape[1], np.inf))
        exact = rows.astype(np.float64)
        mean, deviation = exact.mean(axis=0), exact.std(axis=0)
        return cls(mean, np.where(deviation > _CONSTANT * np.abs(mean), deviation, np.inf))

    def __call__(self, x: NDArray[np.floating]) -> Matrix:
        return ((x - self.mean) / self.scale).astype(np.float32)


@dataclass(frozen=True)
class Fusion:
    """values: stream -> standardisation of its features; presence: of the presence column, of streams that have one."""

    values: Mapping[str, Standardisation]
    presence: Mapping[str, Standardisation]

    def __call__(self, values: Mapping[str, Matrix], present: Mapping[str, NDArray[np.bool_]]) -> Matrix:
        """Streams side by side (N, D'), 0 where absent, with their presence columns."""
        columns = []
        for name, scaled in self.values.items():
            columns.append(scaled(values[name]) * present[name][:, None])
            if name in self.presence:
                columns.append(self.presence[name](present[name][:, None].astype(np.float32)))
        return np.concatenate(columns, axis=1)

    def tensors(self) -> dict[str, Tensor]:
        """Everything as float64 tensors by name."""
        parts = {"values": self.values, "presence": self.presence}
        return {
            f"{part}.{name}.{key}": torch.from_numpy(array)
            for part, found in parts.items()
            for name, scaled in found.items()
            for key, array in (("mean", scaled.mean), ("scale", scaled.scale))
        }

    @classmethod
    def from_tensors(cls, streams: tuple[str, ...], tensors: Mapping[str, Tensor]) -> "Fusion":
        """Inverse of `tensors`; `streams` gives the order. Raises KeyError where a stream lacks its numbers."""

        def read(prefix: str) -> Standardisation:
            return Standardisation(tensors[f"{prefix}.mean"].numpy(), tensors[f"{prefix}.scale"].numpy())

        flagged = [name for name in streams if f"presence.{name}.mean" in tensors]
        return cls({n: read(f"values.{n}") for n in streams}, {n: read(f"presence.{n}") for n in flagged})
