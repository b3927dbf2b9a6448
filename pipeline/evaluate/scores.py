"""Scores of class predictions, by torchmetrics, with an interval over test groups."""

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_f1_score,
)

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Scores:
    """confusion: (K, K), rows are true classes. Recalls are of the classes that occur: their mean (the balanced
    accuracy), least one and 10th percentile."""

    accuracy: float
    balanced_accuracy: float
    f1_macro: float
    recall_min: float
    recall_p10: float
    confusion: Rows


def score(predicted: Rows, y: Rows, *, num_classes: int) -> Scores:
    """Scores of class numbers (N,). Classes, not logits, go to torchmetrics: it takes a sigmoid of large scores."""
    guess, truth = torch.from_numpy(predicted), torch.from_numpy(y)
    confusion = multiclass_confusion_matrix(guess, truth, num_classes).numpy()
    sizes = confusion.sum(axis=1)
    recalls = confusion.diagonal()[sizes > 0] / sizes[sizes > 0]
    return Scores(
        accuracy=float(multiclass_accuracy(guess, truth, num_classes, average="micro")),
        balanced_accuracy=float(recalls.mean()),
        f1_macro=float(multiclass_f1_score(guess, truth, num_classes, average="macro")),
        recall_min=float(recalls.min()),
        recall_p10=float(np.quantile(recalls, 0.1)),
        confusion=confusion,
    )


def group_interval(
    correct: NDArray[np.floating], groups: NDArray[np.str_], *, rng: np.random.Generator, resamples: int = 2000
) -> tuple[float, float] | None:
    """95 % percentile interval of the accuracy, resampling whole groups; None where there is only one group.

    correct: (N,) 1 where right, or the share of draws that were right. Rows of one group are not independent, so
    resampling rows would claim far too much certainty.
    """
    found = group_resamples(groups, rng=rng, resamples=resamples)
    if found is None:
        return None
    member, times = found
    right, size = np.bincount(member, weights=correct), np.bincount(member)
    return percentile_interval(times @ right / (times @ size))


def percentile_interval(resampled: NDArray[np.floating]) -> tuple[float, float]:
    """The middle 95 % of a figure's values (R,) over resamples."""
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(low), float(high)


def group_resamples(
    groups: NDArray[np.str_], *, rng: np.random.Generator, resamples: int = 2000
) -> tuple[Rows, Rows] | None:
    """Number of each row's group (N,), and how often each of G groups is drawn (resamples, G); None for one group."""
    names, member = np.unique(groups, return_inverse=True)
    if len(names) < 2:
        return None
    return member, rng.multinomial(len(names), np.full(len(names), 1 / len(names)), size=resamples)
