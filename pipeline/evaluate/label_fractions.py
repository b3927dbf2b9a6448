"""Which training samples keep their label when only a percentage is given (design.md section 9.15)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from modalities.draws import derive_seed

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class LabelDraw:
    """rows: (n,) sorted positions in the given labels. shots: least samples of a class where the percentage gave a
    class less than one and was topped up, else None; larger classes may have more."""

    rows: Rows
    shots: int | None


def label_draws(y: Rows, *, percent: float, draws: int, seed: int) -> list[LabelDraw]:
    """Stratified draws from class numbers y (N,); one draw at 100 %. A function of its arguments only.

    >>> [len(draw.rows) for draw in label_draws(np.array([0] * 80 + [1] * 20), percent=10, draws=2, seed=0)]
    [10, 10]
    """
    if percent >= 100:
        return [LabelDraw(np.arange(len(y)), None)]
    counts, shots = _counts(y, percent / 100)
    return [
        LabelDraw(_draw(y, counts, np.random.default_rng(derive_seed(seed, "labels", f"{percent:g}", draw))), shots)
        for draw in range(draws)
    ]


def _counts(y: Rows, share: float) -> tuple[Rows, int | None]:
    """Samples per class by largest remainder, at least one of every class that occurs."""
    sizes = np.bincount(y)
    exact = sizes * share
    counts = np.floor(exact).astype(np.int64)
    missing = round(float(exact.sum())) - int(counts.sum())
    for k in np.argsort(counts - exact, kind="stable")[: max(missing, 0)]:
        counts[k] += 1
    topped = np.maximum(counts, np.minimum(sizes, 1))
    return topped, int(topped[sizes > 0].min()) if (topped > counts).any() else None


def _draw(y: Rows, counts: Rows, rng: np.random.Generator) -> Rows:
    chosen = [rng.choice(np.flatnonzero(y == k), size=count, replace=False) for k, count in enumerate(counts) if count]
    return np.sort(np.concatenate(chosen)).astype(np.int64)
