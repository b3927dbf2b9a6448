"""One feature matrix from several streams, some of which may be absent."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError
from pipeline.evaluate.features import Features

Matrix = NDArray[np.float32]

_CONSTANT = 1e-6  # a deviation below this share of the mean is float32 rounding


def fuse(features: Features, streams: Sequence[str], *, train: NDArray[np.int64]) -> Matrix:
    """Concatenate streams side by side, standardised by training rows: (N, D').

    Mean and deviation of a stream come from the rows `train` (n,) that have it. Absent rows are the training
    mean, 0, and one standardised presence column is added for every stream that any row lacks. Columns
    constant over the training rows become 0. Raises DataError for unknown streams.
    """
    unknown = [name for name in streams if name not in features.values]
    if unknown or not streams:
        raise DataError(
            f"no features of {unknown}",
            code="DATA_FIELD",
            field="streams",
            expected=sorted(features.values),
            got=list(streams),
        )
    columns = []
    for name in streams:
        present = features.present[name]
        known = train[present[train]]
        scaled = standardise(features.values[name], known) if len(known) else np.zeros_like(features.values[name])
        columns.append(scaled * present[:, None])
        if not present.all():
            columns.append(standardise(present[:, None].astype(np.float32), train))
    return np.concatenate(columns, axis=1)


def standardise(x: NDArray[np.floating], train: NDArray[np.int64]) -> Matrix:
    """(x - mean) / deviation per column of (N, D), by rows `train`; columns constant there become 0."""
    rows = x[train].astype(np.float64)
    mean, deviation = rows.mean(axis=0), rows.std(axis=0)
    varies = deviation > _CONSTANT * np.abs(mean)
    scale = np.where(varies, deviation, np.inf)
    return ((x - mean) / scale).astype(np.float32)
