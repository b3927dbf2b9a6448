"""Weighted k-nearest-neighbour votes by cosine similarity (instance discrimination, arXiv 1805.01978 section 3.4)."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.group_folds import group_folds
from pipeline.evaluate.labelled import Features, Labelled, Prediction
from pipeline.evaluate.probe_config import ProbeConfig

_TEMPERATURE = 0.07  # tau of arXiv 1805.01978
_TILE = 1024


def vote(
    x: Features, *, stored: Features, y: NDArray[np.int64], num_classes: int, neighbours: Sequence[int]
) -> dict[int, NDArray[np.int64]]:
    """Predicted classes (N,) of rows x (N, D) for each k; stored (M, D) are the labelled rows of classes y (M,).

    Every neighbour votes with exp(cosine / 0.07); a k above M means all of them.
    """
    bank, queries = _unit(stored), _unit(x)
    tiles = [_tile(queries[i : i + _TILE], bank, y, num_classes, neighbours) for i in range(0, len(queries), _TILE)]
    return {k: np.concatenate([tile[k] for tile in tiles]) for k in neighbours}


def _unit(x: Features) -> NDArray[np.float32]:
    x = x.astype(np.float32)
    return x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)


def _tile(
    queries: NDArray[np.float32], bank: NDArray[np.float32], y: NDArray[np.int64], num_classes: int, ks: Sequence[int]
) -> dict[int, NDArray[np.int64]]:
    cosine = queries @ bank.T
    most = min(max(ks), len(bank))
    nearest = np.argpartition(-cosine, most - 1, axis=1)[:, :most]
    values = np.take_along_axis(cosine, nearest, axis=1)
    order = np.argsort(-values, axis=1, kind="stable")
    values, nearest = np.take_along_axis(values, order, axis=1), np.take_along_axis(nearest, order, axis=1)
    votes = np.exp((values - values[:, :1]) / _TEMPERATURE)
    ballots = votes[:, :, None] * np.eye(num_classes, dtype=np.float32)[y[nearest]]
    counted = np.cumsum(ballots, axis=1)
    return {k: counted[:, min(k, most) - 1].argmax(axis=1) for k in ks}


def knn_probe(labelled: Labelled, x: Features, config: ProbeConfig) -> Prediction:
    """Predict x (N, D) with the k of highest held-out accuracy over group folds; the smaller k where two are equal."""
    k, held_out = _choose(labelled, config) or (config.default_neighbours, None)
    classes = vote(x, stored=labelled.x, y=labelled.y, num_classes=labelled.num_classes, neighbours=[k])[k]
    return Prediction(classes, k, held_out)


def _choose(labelled: Labelled, config: ProbeConfig) -> tuple[int, float] | None:
    """k and its accuracy on held-out groups; None where there are none."""
    folds = group_folds(labelled.y, labelled.groups, folds=config.folds)
    ks = sorted(config.neighbours)
    right = np.zeros(len(ks))
    for train, held in folds:
        stored = labelled.select(train)
        found = vote(labelled.x[held], stored=stored.x, y=stored.y, num_classes=labelled.num_classes, neighbours=ks)
        right += [(found[k] == labelled.y[held]).sum() for k in ks]
    held_out = float(right.max()) / max(1, sum(len(held) for _, held in folds))
    return (ks[int(right.argmax())], held_out) if folds else None
