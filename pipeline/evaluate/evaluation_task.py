"""What stored features are evaluated on: the samples of the test split, and which of them belong together."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.features import Features
from pipeline.evaluate.fusion import fuse

Codes = NDArray[np.int64]
Matrix = NDArray[np.float32]


@dataclass(frozen=True)
class EvaluationTask:
    """By sample of the data set (N,); codes are -1 where unknown.

    train, test: row numbers. labels: class numbers. identities: who or what is verified. records: raw recordings.
    sessions: recording sessions, or the recordings. groups: what stays together in intervals, such as the subject, ""
    where unknown. content: stream -> hash of what is stored; equal signals have equal ones. grouped: False where each
    sample is a group of its own.
    """

    train: Codes
    test: Codes
    labels: Codes
    identities: Codes
    records: Codes
    sessions: Codes
    groups: NDArray[np.str_]
    content: dict[str, Codes]
    grouped: bool = True

    def matrix(self, features: Features, streams: Sequence[str]) -> Matrix:
        """(N, D) of the streams side by side, standardised by training rows."""
        return fuse(features, streams, train=self.train)

    def having(self, features: Features, streams: Sequence[str]) -> Codes:
        """Test rows that have any of the streams."""
        return self.test[np.any([features.present[name][self.test] for name in streams], axis=0)]


def group_codes(values: NDArray[np.str_]) -> Codes:
    """Numbers of group values (N,), -1 for "" (unknown).

    >>> group_codes(np.array(["b", "", "a", "b"])).tolist()
    [1, -1, 0, 1]
    """
    names = np.unique(values[values != ""])
    return np.where(values == "", -1, np.searchsorted(names, values))


def pair_codes(first: Codes, second: Codes) -> Codes:
    """One number for each pair of known codes (N,), -1 where either is unknown.

    >>> pair_codes(np.array([0, 0, 1, -1]), np.array([3, 4, 3, 3])).tolist()
    [0, 1, 2, -1]
    """
    known = (first >= 0) & (second >= 0)
    found = np.full(len(first), -1, np.int64)
    pairs = np.stack([first[known], second[known]], axis=1)
    found[known] = np.unique(pairs, axis=0, return_inverse=True)[1].ravel()
    return found
