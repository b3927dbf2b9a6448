"""Majority votes of neighbours: the most frequent label, the smallest number of several."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Agreement:
    """known (m,): labelled neighbours of m nodes. equal (m,): those with the node's own label. hit (m,) bool: the vote
    of the neighbours is the node's label. A node without a label has no known neighbours."""

    known: np.ndarray
    equal: np.ndarray
    hit: np.ndarray


def packed_votes(votes: np.ndarray, label: np.ndarray, classes: int) -> np.ndarray:
    """Votes and label (K,) as one number, whose largest value is the winner."""
    return votes.astype(np.int64) * classes + (classes - 1 - label)


def voted(packed: np.ndarray, classes: int) -> np.ndarray:
    """The label in packed votes.

    >>> voted(packed_votes(np.array([3, 3]), np.array([2, 0]), 4), 4).tolist()
    [2, 0]
    """
    return classes - 1 - packed % classes
