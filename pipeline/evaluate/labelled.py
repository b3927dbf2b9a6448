"""Labelled feature rows and what a probe makes of them."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]
Features = NDArray[np.floating]


@dataclass(frozen=True)
class Labelled:
    """x: (N, D) standardised features, y: (N,) class numbers below num_classes, groups: (N,) what stays together."""

    x: Features
    y: Rows
    groups: NDArray[np.str_]
    num_classes: int

    def __len__(self) -> int:
        return len(self.y)

    def select(self, rows: Rows) -> "Labelled":
        """Some of the rows, by position (M,)."""
        return Labelled(self.x[rows], self.y[rows], self.groups[rows], self.num_classes)


@dataclass(frozen=True)
class Prediction:
    """classes: (N,). chosen: C or k. validated: whether held-out groups chose it, not the default.

    held_out: what the choice scored on them, a loss (nats a row) or an accuracy; None where there were none.
    """

    classes: Rows
    chosen: float
    held_out: float | None

    @property
    def validated(self) -> bool:
        return self.held_out is not None
