"""Which samples of a data set have the label that fine-tuning predicts, and which of them may show it."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from jobs.assemble import Dataset
from jobs.configs import Recipe
from pipeline.data.split import SplitName
from pipeline.evaluate.label_fractions import label_draws

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class LabelledSamples:
    """Sample numbers of each split. labels: (N,) of the whole data set. percent: share of labels that are shown, in the
    validation split as in the training split: else few labels would be helped by many. test_groups: whose each test
    sample is; None where the recipe names no such column."""

    labels: Rows
    num_classes: int
    percent: float
    train: Rows
    validation: Rows
    test: Rows
    test_groups: NDArray[np.str_] | None

    def classes(self, rows: Rows) -> Tensor:
        """Class numbers (n,) of samples."""
        return torch.from_numpy(self.labels[rows])

    def class_counts(self) -> Tensor:
        """Labelled training samples of each class (K,)."""
        return torch.bincount(self.classes(self.train), minlength=self.num_classes)


def labelled_samples(recipe: Recipe, dataset: Dataset, percent: float) -> LabelledSamples:
    """The first draw of the probes' own; every labelled sample of the test split."""
    label = str(recipe.label)
    labels = dataset.index.labels(label)

    def shown(split: SplitName, percent: float) -> Rows:
        rows = dataset.index.rows(split)
        rows = rows[labels[rows] >= 0]
        if len(rows) == 0:
            return rows
        return rows[label_draws(labels[rows], percent=percent, draws=1, seed=recipe.seed)[0].rows]

    test = shown("test", 100.0)
    return LabelledSamples(
        labels,
        len(dataset.manifest.labels[label]),
        percent,
        train=shown("train", percent),
        validation=shown("validation", percent),
        test=test,
        test_groups=None if recipe.subject is None else dataset.index.group(recipe.subject)[test].astype(str),
    )
