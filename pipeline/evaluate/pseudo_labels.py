"""The pseudo-labels that a pretraining with a memory left behind: one cluster number per sample and view space."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.data.durable import durable_file
from pipeline.errors import DataError

PSEUDO_LABELS_NAME = "pseudo_labels.parquet"
"""In the folder of the pretraining stage; a pretraining without pseudo-labels has none."""


@dataclass(frozen=True)
class PseudoLabels:
    """idx: (M,) int64, ascending, samples of the pretraining. spaces: view space -> (M,) int64 cluster, -1 = none."""

    idx: NDArray[np.int64]
    spaces: Mapping[str, NDArray[np.int64]]


def read_pseudo_labels(path: Path, *, num_samples: int) -> PseudoLabels | None:
    """The table in `path`; None where there is none, or where no row is of the evaluated data set.

    That data set has `num_samples` samples and comes first in a mixture: rows from there on are other data sets'.
    Raises DataError for a damaged table.
    """
    try:
        table = pq.read_table(path, memory_map=False)
    except FileNotFoundError:
        return None
    except (pa.ArrowException, OSError) as error:
        raise _bad(path, f"cannot be read: {error}") from error
    columns = {name: _integers(table, name, path) for name in table.column_names}
    if "idx" not in columns or len(columns) < 2:
        raise _bad(path, "has no idx, or no view space", got=table.column_names)
    idx = columns.pop("idx")
    order = np.argsort(idx, kind="stable")
    idx = idx[order]
    if len(idx) and (idx[0] < 0 or (np.diff(idx) == 0).any()):
        raise _bad(path, "names a sample twice, or a negative one")
    own = idx < num_samples
    if not own.any():
        return None
    return PseudoLabels(idx[own], {name: values[order][own] for name, values in columns.items()})


def write_pseudo_labels(path: Path, labels: PseudoLabels) -> None:
    """Write the table that `read_pseudo_labels` reads, durably."""
    with durable_file(path) as file:
        pq.write_table(pa.table({"idx": labels.idx, **labels.spaces}), file)


def _integers(table: pa.Table, name: str, path: Path) -> NDArray[np.int64]:
    column = table.column(name)
    if not pa.types.is_integer(column.type) or column.null_count:
        raise _bad(path, f"column {name} is not of integers", got=str(column.type))
    values = column.to_numpy().astype(np.int64)
    if name != "idx" and len(values) and values.min() < -1:
        raise _bad(path, f"column {name} has a negative cluster", got=int(values.min()))
    return values


def _bad(path: Path, problem: str, *, got: object = None) -> DataError:
    fix = "restore the file, or pretrain again"
    return DataError(f"{path.name} {problem}", code="PSEUDO_LABELS", field=str(path), got=got, fix=fix)
