"""What a sequence probe predicts, and from which training samples it learns."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from modalities.draws import derive_seed
from pipeline.errors import DataError
from pipeline.evaluate.label_fractions import label_draws

Rows: TypeAlias = NDArray[np.int64]


@dataclass(frozen=True)
class SequenceTask:
    """name: of the step label. groups: (N,) of every sample; train, test: samples that have the step label."""

    name: str
    num_classes: int
    groups: NDArray[np.str_]
    train: Rows
    test: Rows

    def drawn(self, percent: float, *, seed: int) -> Rows:
        """A percentage of the training samples, in random order. Raises DataError where there are none."""
        if not len(self.train):
            raise self.unlabelled()
        (draw, *_) = label_draws(np.zeros(len(self.train), np.int64), percent=percent, draws=1, seed=seed)
        rng = np.random.default_rng(derive_seed(seed, "sequence", self.name))
        return rng.permutation(self.train[draw.rows])

    def unlabelled(self) -> DataError:
        """That there is nothing to learn from, or nothing to score."""
        return DataError(
            f"too few steps with a class of {self.name}",
            code="DATA_LABEL",
            field=self.name,
            expected="two classes in the training split, and one labelled sample in the test split",
            got=f"{len(self.train)} training and {len(self.test)} test samples with step labels",
            fix="leave it out of sequence.targets, or label more",
        )


def leading_samples(counts: Iterable[tuple[int, int]], *, most: int) -> Rows:
    """The first samples that have labelled positions, until there are `most`; counts: (sample, its positions) in order.

    >>> leading_samples([(7, 3), (2, 0), (5, 4), (1, 9)], most=5).tolist()
    [7, 5]
    """
    found, total = list[int](), 0
    for sample, positions in counts:
        if positions:
            found.append(sample)
            total += positions
        if total >= most:
            break
    return np.array(found, np.int64)
