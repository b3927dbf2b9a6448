"""Frozen features before pooling beside the classes of the steps they stand for: one Parquet row per sample.

A table is written and read in batches of samples, one row group each, so that memory holds one batch of any data set.
Axes: S positions of a sample, D features, T steps.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.data.durable import durable_file
from pipeline.evaluate.feature_file import bad_features, check_maker, maker_metadata, opened

Rows: TypeAlias = NDArray[np.int64]
_STRIDE = b"kindred.stride"
_COLUMNS = pa.schema(
    {
        "idx": pa.int64(),
        "positions": pa.int64(),
        "values": pa.large_list(pa.float32()),
        "classes": pa.large_list(pa.int16()),
    }
)


@dataclass(frozen=True)
class LabelledSteps:
    """Positions of one sample up to its last step of known class, and all its classes until there.

    values: (S, D) float32. classes: (T,) int64, -1 where unknown; T <= S * stride.
    """

    idx: int
    values: NDArray[np.float32]
    classes: Rows


@dataclass(frozen=True)
class StepTable:
    """A written table. stride: steps that each position stands for."""

    path: Path
    encoder_hash: str
    stride: int

    def batches(self, samples: Rows) -> Iterator[list[LabelledSteps]]:
        """Those of the samples that are in it, in its order. Raises DataError where it is damaged or not finite."""
        with opened(self.path, pq.ParquetFile) as file:
            for number in range(file.num_row_groups):
                idx = opened(self.path, lambda _, n=number: file.read_row_group(n, columns=["idx"]))
                rows = np.flatnonzero(np.isin(idx.column("idx").to_numpy(), samples))
                if len(rows):
                    group = opened(self.path, lambda _, n=number: file.read_row_group(n))
                    yield [_sample(group, row) for row in rows.tolist()]


def _sample(group: pa.Table, row: int) -> LabelledSteps:
    idx, positions, values, classes = (group.column(name)[row] for name in _COLUMNS.names)
    own = values.values.to_numpy()
    if not np.isfinite(own).all():
        raise bad_features("features are not finite", got=f"idx {idx.as_py()}")
    return LabelledSteps(idx.as_py(), own.reshape(positions.as_py(), -1), classes.values.to_numpy().astype(np.int64))


def write_steps(batches: Iterable[Sequence[LabelledSteps]], path: Path, *, encoder_hash: str, stride: int) -> StepTable:
    """Write the table whole or not at all; `encoder_hash` names what made it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    schema = _COLUMNS.with_metadata({**maker_metadata(encoder_hash), _STRIDE: str(stride).encode()})
    with durable_file(path) as file, pq.ParquetWriter(file, schema, use_dictionary=False) as writer:
        for samples in batches:
            if samples:
                writer.write_table(_table(samples, schema))
    return StepTable(path, encoder_hash, stride)


def read_steps(path: Path, *, encoder_hash: str) -> StepTable:
    """A table that was written. Raises CheckpointError for another encoder's, DataError for a damaged one."""
    schema = opened(path, pq.read_schema)
    check_maker(path, schema, encoder_hash=encoder_hash)
    if schema.names != _COLUMNS.names or _STRIDE not in schema.metadata:
        raise bad_features(f"{path.name} is not a table of step features")
    return StepTable(path, encoder_hash, int(schema.metadata[_STRIDE]))


def _table(samples: Sequence[LabelledSteps], schema: pa.Schema) -> pa.Table:
    return pa.table(
        [
            pa.array([each.idx for each in samples]),
            pa.array([len(each.values) for each in samples]),
            _lists([each.values.ravel() for each in samples]),
            _lists([each.classes.astype(np.int16) for each in samples]),
        ],
        schema=schema,
    )


def _lists(rows: Sequence[NDArray[np.generic]]) -> pa.LargeListArray:
    ends = np.cumsum([0, *(len(row) for row in rows)])
    return pa.LargeListArray.from_arrays(pa.array(ends), pa.array(np.concatenate(rows)))
