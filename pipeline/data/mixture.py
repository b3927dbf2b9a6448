"""Several data sets in fixed proportion: every batch holds exactly n_s samples of source s."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from modalities.draws import derive_seed
from pipeline.data.order_config import MixtureOrder
from pipeline.data.permutation import permute
from pipeline.data.rows import Rows
from pipeline.data.shuffle import Shuffle
from pipeline.errors import ConfigError


@dataclass(frozen=True)
class MixtureSource:
    """One data set: the rows that take part, its weight, and what is added to its sample numbers."""

    rows: Rows
    weight: float
    offset: int = 0


class Mixture:
    """Batches with a fixed quota of every source; each source runs through keyed shuffles of its own.

    A source's k-th sample since the start is a pure function of (rows, seed, k): epochs of a small source follow one
    another without a gap, so its samples occur equally often up to one. A batch is computed from its number alone.
    """

    def __init__(self, sources: Sequence[MixtureSource], *, batch_size: int, seed: int, order: MixtureOrder) -> None:
        self.quotas = quotas([source.weight for source in sources], batch_size)
        for number, source in enumerate(sources):
            if self.quotas[number] == 0 or len(source.rows) == 0:
                raise ConfigError(
                    f"data set {number} of the mixture gives no sample to a batch of {batch_size}",
                    code="CONFIG_VALUE",
                    field=f"data.mix.{number}.weight",
                    got={"weight": source.weight, "samples": len(source.rows)},
                    fix="raise its weight or batch_size, or leave it out",
                )
        self.sources, self.seed, self.steps_per_epoch = tuple(sources), seed, order.steps_per_epoch
        self._shuffles = [
            Shuffle(source.rows, seed=derive_seed(seed, "order/source", number), order=order.shuffle)
            for number, source in enumerate(sources)
        ]

    @property
    def realised_weights(self) -> tuple[float, ...]:
        """Share of every source in a batch."""
        return tuple(quota / sum(self.quotas) for quota in self.quotas)

    def batch(self, epoch: int, step: int) -> np.ndarray:
        """Sample numbers (batch_size,) int64, sources mixed. Raises IndexError for a step outside the epoch."""
        if not 0 <= step < self.steps_per_epoch:
            raise IndexError(f"step {step} of {self.steps_per_epoch}")
        number = epoch * self.steps_per_epoch + step
        samples = np.concatenate([self._of_source(source, number) for source in range(len(self.sources))])
        key = derive_seed(self.seed, "order/mixture", number)
        return samples[permute(np.arange(len(samples)), size=len(samples), key=key)]

    def _of_source(self, source: int, number: int) -> np.ndarray:
        quota, shuffle = self.quotas[source], self._shuffles[source]
        epochs, positions = np.divmod(np.arange(number * quota, (number + 1) * quota), len(shuffle))
        parts = [shuffle.at(epoch, positions[epochs == epoch]) for epoch in range(int(epochs[0]), int(epochs[-1]) + 1)]
        return np.concatenate(parts) + self.sources[source].offset


def quotas(weights: Sequence[float], batch_size: int) -> tuple[int, ...]:
    """Samples of each source in a batch: the largest remainder method, ties to the earlier source.

    >>> quotas([0.5, 0.3, 0.2], 8)
    (4, 2, 2)
    """
    exact = np.asarray(weights, np.float64) / np.sum(weights) * batch_size
    counts = np.floor(exact).astype(int)
    largest = np.argsort(-(exact - counts), kind="stable")[: batch_size - counts.sum()]
    counts[largest] += 1
    return tuple(counts.tolist())
