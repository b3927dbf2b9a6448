"""Folds whose validation side holds whole groups, balanced over classes."""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


def group_folds(y: Rows, groups: NDArray[np.str_], *, folds: int) -> list[tuple[Rows, Rows]]:
    """(training rows, validation rows) of each fold; [] where validation on held-out groups is impossible.

    It is possible where every class that occurs is found in two groups or more: otherwise some fold would be asked for
    a class that its training side never saw. Groups go, largest first, to the fold where the class shares stay lowest.
    y (N,) class numbers; groups (N,) group names.
    """
    classes, y = np.unique(y, return_inverse=True)
    names, member = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), len(classes)))
    np.add.at(counts, (member, y), 1.0)
    if len(names) < 2 or ((counts > 0).sum(axis=0) < 2).any():
        return []
    return _split(counts / counts.sum(axis=0), member, folds=folds)


def tag_folds(tags: NDArray[np.bool_], groups: NDArray[np.str_], *, folds: int) -> list[tuple[Rows, Rows]]:
    """The same for sets of tags (N, K), balanced over the tags that are found in two groups or more; [] without any."""
    names, member = np.unique(groups, return_inverse=True)
    counts = np.zeros((len(names), tags.shape[1]))
    np.add.at(counts, member, tags)
    shared = counts[:, (counts > 0).sum(axis=0) >= 2]
    return _split(shared / shared.sum(axis=0), member, folds=folds) if shared.size else []


def _split(shares: NDArray[np.float64], member: Rows, *, folds: int) -> list[tuple[Rows, Rows]]:
    fold = _assign(shares, folds=min(folds, len(shares)))
    split = [(np.flatnonzero(fold[member] != f), np.flatnonzero(fold[member] == f)) for f in range(fold.max() + 1)]
    return [(train, held) for train, held in split if len(held) and len(train)]


def _assign(shares: NDArray[np.float64], *, folds: int) -> Rows:
    """Fold of each group; `shares` (groups, classes) sum to 1 over groups."""
    load = np.zeros((folds, shares.shape[1]))
    fold = np.zeros(len(shares), dtype=np.int64)
    for group in np.argsort(-shares.sum(axis=1), kind="stable"):
        cost = [((load + (np.arange(folds) == f)[:, None] * shares[group]) ** 2).sum() for f in range(folds)]
        fold[group] = int(np.argmin(cost))
        load[fold[group]] += shares[group]
    return fold
