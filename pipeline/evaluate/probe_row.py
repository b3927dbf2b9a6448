"""One line of a probe's results and its flat metric names (design.md section 6)."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.probe_config import Method


@dataclass(frozen=True)
class ProbeRow:
    """Results of one method on one feature table at one percentage of labels, over label draws.

    source: "probe" for learned features, else the control's name. num_labels: labelled training samples of a draw.
    shots: least samples of a class where the percentage was too small for one, else None. accuracies, chosen (C, k):
    per draw; held_out: mean over draws of what the choice scored on held-out training groups (loss of linear, accuracy
    of knn), None where any draw had none. f1_macro and recall_min are means over draws.
    interval: 95 % over test groups, None with one group. confusion: (K, K) summed over draws, rows are true classes.
    correct: (N,) share of draws that were right, of each labelled test sample.
    """

    source: str
    subset: str
    method: Method
    percent: float
    num_labels: int
    shots: int | None
    accuracies: tuple[float, ...]
    f1_macro: float
    recall_min: float
    interval: tuple[float, float] | None
    chosen: tuple[float, ...]
    held_out: float | None
    confusion: NDArray[np.int64]
    correct: NDArray[np.float64]

    @property
    def accuracy(self) -> float:
        """Mean over draws."""
        return float(np.mean(self.accuracies))

    @property
    def accuracy_sd(self) -> float:
        """Sample standard deviation over draws; 0 with one draw."""
        return float(np.std(self.accuracies, ddof=1)) if len(self.accuracies) > 1 else 0.0

    @property
    def validated(self) -> bool:
        """Whether held-out groups chose C or k in every draw."""
        return self.held_out is not None

    @property
    def name(self) -> str:
        """Prefix of its metrics: probe/<subset>/<method>/<percent> or control/<source>/<subset>/<percent>.

        A control's linear row carries no method, as other controls have none.
        """
        if self.source == "probe":
            return f"probe/{self.subset}/{self.method}/{self.percent:g}"
        method = "" if self.method == "linear" else f"{self.method}/"
        return f"control/{self.source}/{self.subset}/{method}{self.percent:g}"

    def metrics(self) -> dict[str, float]:
        """Flat metrics by full name."""
        found = {
            "accuracy": self.accuracy,
            "accuracy_sd": self.accuracy_sd,
            "f1_macro": self.f1_macro,
            "recall_min": self.recall_min,
        }
        if self.interval is not None:
            found |= {"accuracy_low": self.interval[0], "accuracy_high": self.interval[1]}
        if self.shots is not None:
            found["shots"] = self.shots
        if self.held_out is not None and self.source == "probe":
            found["validation_loss" if self.method == "linear" else "validation_accuracy"] = self.held_out
        return {f"{self.name}/{key}": value for key, value in found.items()}
