"""Scores of class predictions, by torchmetrics."""

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
