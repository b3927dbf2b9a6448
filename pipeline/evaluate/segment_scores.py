"""Scores of a segmentation in time: frame by frame, and by its segments, as in temporal action segmentation.

A segment is a run of steps of one class. Steps whose true class is unknown are taken out of both sequences first.
Axes: T steps, K classes.
"""

from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torchmetrics.classification import MulticlassAccuracy, MulticlassF1Score

Classes = NDArray[np.int64]

OVERLAPS = (10, 25, 50)
"""Least intersection over union, in percent, of a segment that is found."""


@dataclass(frozen=True)
class Segments:
    """Runs of one class: classes, first step and step after the last, each (M,)."""

    classes: Classes
    start: Classes
    end: Classes

    def __len__(self) -> int:
        return len(self.classes)


def segments_of(sequence: Classes) -> Segments:
    """The runs of a sequence (T,), T > 0."""
    start = np.flatnonzero(np.r_[True, sequence[1:] != sequence[:-1]])
    return Segments(sequence[start], start, np.r_[start[1:], len(sequence)])


def edit_score(predicted: Segments, true: Segments) -> float:
    """1 - Levenshtein distance of the two orders of classes / the longer one (arXiv 1611.05267, section 4.2).

    >>> of = lambda *classes: segments_of(np.array(classes))
    >>> edit_score(of(0, 0, 1, 2), of(0, 1, 1, 1))
    0.6666666666666667
    """
    row = np.arange(len(true) + 1)
    for i, own in enumerate(predicted.classes.tolist(), start=1):
        before, row = row, np.empty_like(row)
        row[0] = i
        swapped = before[:-1] + (true.classes != own)
        reached = np.minimum(swapped, before[1:] + 1)
        for j, best in enumerate(reached.tolist()):
            row[j + 1] = min(best, row[j] + 1)
    return 1 - float(row[-1]) / max(len(predicted), len(true))


def found_segments(predicted: Segments, true: Segments, *, least: float) -> int:
    """Predicted segments that overlap a true one of their class by an intersection over union of `least` or more.

    Each goes, in order, to the true segment it overlaps most; one that is taken already is not found twice (authors'
    code of arXiv 1903.01945).
    """
    taken = np.zeros(len(true), np.bool_)
    for own, start, end in zip(predicted.classes, predicted.start, predicted.end, strict=True):
        shared = np.maximum(np.minimum(end, true.end) - np.maximum(start, true.start), 0)
        union = np.maximum(end, true.end) - np.minimum(start, true.start)
        overlap = np.where(true.classes == own, shared / union, 0.0)
        best = int(overlap.argmax())
        taken[best] |= overlap[best] >= least
    return int(taken.sum())


@dataclass(frozen=True)
class SequenceScores:
    """Shares in [0, 1]. f1_at: percent of overlap -> F1 over the segments of all sequences; edit: mean of sequences."""

    accuracy: float
    f1_macro: float
    edit: float
    f1_at: dict[int, float]


@dataclass
class SequenceScorer:
    """Adds up what sequences give. right, steps: frames of each sequence so far."""

    num_classes: int
    right: list[int] = field(default_factory=list)
    steps: list[int] = field(default_factory=list)
    _edits: list[float] = field(default_factory=list)
    _found: dict[int, int] = field(default_factory=lambda: dict.fromkeys(OVERLAPS, 0))
    _num_segments: int = 0

    def __post_init__(self) -> None:
        self._accuracy = MulticlassAccuracy(self.num_classes, average="micro")
        self._f1 = MulticlassF1Score(self.num_classes, average="macro")

    def add(self, predicted: Classes, true: Classes) -> None:
        """One sequence (T,); true is -1 where unknown, and somewhere not."""
        known = true >= 0
        predicted, true = predicted[known], true[known]
        for metric in (self._accuracy, self._f1):
            metric.update(torch.from_numpy(predicted), torch.from_numpy(true))
        self.right.append(int((predicted == true).sum()))
        self.steps.append(len(true))
        mine, theirs = segments_of(predicted), segments_of(true)
        self._edits.append(edit_score(mine, theirs))
        self._num_segments += len(mine) + len(theirs)
        for percent in OVERLAPS:
            self._found[percent] += found_segments(mine, theirs, least=percent / 100)

    def scores(self) -> SequenceScores:
        """Of all sequences, of which there must be one."""
        return SequenceScores(
            accuracy=float(self._accuracy.compute()),
            f1_macro=float(self._f1.compute()),
            edit=float(np.mean(self._edits)),
            f1_at={percent: 2 * found / self._num_segments for percent, found in self._found.items()},
        )
