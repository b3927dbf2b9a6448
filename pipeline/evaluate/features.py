"""Frozen features: one row per sample, computed once, stored in one Parquet file together with what made them."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipeline.data.durable import durable_file
from pipeline.evaluate.feature_file import bad_features, check_maker, maker, maker_metadata, opened
from pipeline.types import Batch

Encode: TypeAlias = Callable[[Batch], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Features:
    """idx: (N,) int64, ascending. values: stream -> (N, D) float32, 0 where absent. present: stream -> (N,) bool."""

    idx: NDArray[np.int64]
    values: Mapping[str, NDArray[np.float32]]
    present: Mapping[str, NDArray[np.bool_]]

    def __len__(self) -> int:
        return len(self.idx)

    def positions(self, idx: NDArray[np.int64]) -> NDArray[np.int64]:
        """Row numbers of samples (M,). Raises DataError where one has no features."""
        found = np.minimum(np.searchsorted(self.idx, idx), len(self.idx) - 1)
        if (self.idx[found] != idx).any():
            missing = idx[self.idx[found] != idx]
            raise bad_features(f"{len(missing)} samples have no features", got=f"idx {int(missing[0])}")
        return found


def extract(batches: Iterable[Batch], encode: Encode) -> Features:
    """Features of every sample of the batches; `encode` gives stream -> (B, D). Evaluation mode is the caller's.

    Raises DataError for a sample that comes twice and for features that are not finite, naming the sample.
    """
    idx: list[NDArray[np.int64]] = []
    values: dict[str, list[NDArray[np.float32]]] = {}
    present: dict[str, list[NDArray[np.bool_]]] = {}
    with torch.inference_mode():
        for batch in batches:
            idx.append(batch.idx.cpu().numpy())
            for name, rows in encode(batch).items():
                seen = batch.signals[name].present.cpu().numpy()
                values.setdefault(name, []).append(rows.float().cpu().numpy() * seen[:, None])
                present.setdefault(name, []).append(seen)
    if not idx:
        raise bad_features("no batches")
    order = np.argsort(np.concatenate(idx), kind="stable")
    features = Features(
        np.concatenate(idx)[order],
        {name: np.concatenate(parts)[order] for name, parts in values.items()},
        {name: np.concatenate(parts)[order] for name, parts in present.items()},
    )
    _check(features)
    return features


def write_features(
    features: Features, path: Path, *, encoder_hash: str, columns: Mapping[str, pa.Array] | None = None
) -> None:
    """Write the table whole or not at all; `encoder_hash` names the weights that made it. columns: further ones."""
    columns = {"idx": pa.array(features.idx), **(columns or {})}
    for name, rows in features.values.items():
        flat = pa.array(np.ascontiguousarray(rows, dtype=np.float32).ravel())
        columns[f"{name}.values"] = pa.FixedSizeListArray.from_arrays(flat, rows.shape[1])
        columns[f"{name}.present"] = pa.array(features.present[name])
    table = pa.table(columns).replace_schema_metadata(maker_metadata(encoder_hash))
    path.parent.mkdir(parents=True, exist_ok=True)
    with durable_file(path) as file:
        pq.write_table(table, file)


def made_by(path: Path) -> str:
    """The `encoder_hash` a table was written with. Raises DataError where it is missing or damaged."""
    return maker(opened(path, pq.read_schema))


def read_features(path: Path, *, encoder_hash: str) -> Features:
    """Inverse of `write_features`. Raises CheckpointError for another encoder's table, DataError for a damaged one."""
    table = opened(path, pq.read_table)
    check_maker(path, table.schema, encoder_hash=encoder_hash)
    features = _from_table(table, path)
    _check(features)
    return features


def _from_table(table: pa.Table, path: Path) -> Features:
    streams = [name.removesuffix(".values") for name in table.column_names if name.endswith(".values")]
    values, present = {}, {}
    try:
        for name in streams:
            column = table.column(f"{name}.values").combine_chunks()
            values[name] = column.flatten().to_numpy().reshape(len(table), column.type.list_size).astype(np.float32)
            present[name] = table.column(f"{name}.present").to_numpy().astype(bool)
        return Features(table.column("idx").to_numpy().astype(np.int64), values, present)
    except (KeyError, AttributeError, ValueError) as error:
        raise bad_features(f"{path.name} is not a table of features: {error}") from error


def _check(features: Features) -> None:
    steps = np.diff(features.idx)
    if (steps <= 0).any():
        raise bad_features("a sample occurs twice", got=f"idx {int(features.idx[1:][steps <= 0][0])}")
    for name, rows in features.values.items():
        wrong = ~np.isfinite(rows).all(axis=1)
        if wrong.any():
            raise bad_features("features are not finite", field=name, got=f"idx {int(features.idx[wrong][0])}")
