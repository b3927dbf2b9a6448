"""What can be known of a sample without looking at a signal: the metadata control, a detector of leaks."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Column = NDArray[np.float32]

_DAY_S = 86_400.0


def metadata_features(
    groups: Mapping[str, NDArray[np.str_]],
    present: Mapping[str, NDArray[np.bool_]],
    *,
    start_ns: NDArray[np.int64],
    end_ns: NDArray[np.int64],
    train: NDArray[np.int64],
) -> NDArray[np.float32]:
    """One-hot groups, presence of each stream, duration and time of day: (N, F), not standardised.

    groups, present: name -> (N,). start_ns, end_ns: (N,) UTC, -1 where unknown, which a further column says.
    Only group values of the rows `train` (n,) get a column: others are unknown, as they are at test time.
    """
    columns = [_one_hot(values, values[train]) for values in groups.values()]
    columns += [seen[:, None].astype(np.float32) for seen in present.values()]
    columns.append(_times(start_ns, end_ns))
    return np.concatenate(columns, axis=1)


def _one_hot(values: NDArray[np.str_], known: NDArray[np.str_]) -> Column:
    return (values[:, None] == np.unique(known)[None, :]).astype(np.float32)


def _times(start_ns: NDArray[np.int64], end_ns: NDArray[np.int64]) -> Column:
    """Whether times are known, duration and its logarithm, sine and cosine of the time of day: (N, 5)."""
    known = (start_ns >= 0) & (end_ns >= 0)
    duration = np.where(known, end_ns - start_ns, 0) / 1e9
    turn = 2 * np.pi * np.mod(np.where(known, start_ns, 0) / 1e9, _DAY_S) / _DAY_S
    columns = [known, duration, np.log1p(np.maximum(duration, 0.0)), np.sin(turn) * known, np.cos(turn) * known]
    return np.stack(columns, axis=1).astype(np.float32)
