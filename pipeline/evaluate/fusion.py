"""One feature matrix from several streams, some of which may be absent."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError
from pipeline.evaluate.features import Features
from pipeline.evaluate.fitted_fusion import Fusion, Matrix, Standardisation


def fuse(features: Features, streams: Sequence[str], *, train: NDArray[np.int64]) -> Matrix:
    """Concatenate streams side by side, standardised by training rows (see `fit_fusion`): (N, D')."""
    return fit_fusion(features, streams, train=train)(features.values, features.present)


def fit_fusion(features: Features, streams: Sequence[str], *, train: NDArray[np.int64]) -> Fusion:
    """How streams are put side by side, standardised by training rows.

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
    values, presence = {}, {}
    for name in streams:
        present = features.present[name]
        values[name] = Standardisation.of(features.values[name][train[present[train]]])
        if not present.all():
            presence[name] = Standardisation.of(present[train][:, None].astype(np.float32))
    return Fusion(values, presence)


def standardise(x: NDArray[np.floating], train: NDArray[np.int64]) -> Matrix:
    """(x - mean) / deviation per column of (N, D), by rows `train`; columns constant there become 0."""
    return Standardisation.of(x[train])(x)
