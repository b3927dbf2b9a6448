"""An index written by hand: groups and labels of a few samples, without payloads."""

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.data.index import Index
from pipeline.data.rows import Rows, rows_of


def small_index(
    count: int,
    *,
    groups: Mapping[str, Sequence[str]] | None = None,
    classes: Mapping[str, Sequence[int]] | None = None,
    split: Sequence[str] | None = None,
    start_s: Sequence[float] | None = None,
    record: Sequence[int] | None = None,
) -> Index:
    """`count` samples s0, s1, ...; all of them in the pretraining split unless `split` says otherwise."""
    zeros = np.zeros(count, np.int64)
    start = np.full(count, -1) if start_s is None else np.array([round(s * 1e9) if s >= 0 else -1 for s in start_s])
    return Index(
        key=np.array([f"s{i}" for i in range(count)]),
        shard=zeros,
        record=np.arange(count) if record is None else np.array(record),
        window=zeros,
        start_ns=start.astype(np.int64),
        end_ns=start.astype(np.int64),
        split=np.array(["train"] * count if split is None else split),
        streams={},
        groups={name: np.array(values, np.str_) for name, values in (groups or {}).items()},
        classes={name: np.array(values, np.int64) for name, values in (classes or {}).items()},
    )


def train_rows(index: Index) -> Rows:
    """The pretraining split."""
    return rows_of(index.rows("train"))
