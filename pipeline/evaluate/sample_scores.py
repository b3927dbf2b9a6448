"""What the probes got right, test sample by test sample: kept so that runs can be compared pair by pair."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from pipeline.data.durable import durable_file
from pipeline.errors import OutputError
from pipeline.evaluate.probe import ProbeTask
from pipeline.evaluate.probe_row import ProbeRow

SAMPLE_SCORES_NAME = "sample_scores.parquet"
_COLUMNS = ("key", "group", "label")


@dataclass(frozen=True)
class SampleScores:
    """Of the labelled test samples. keys, groups (N,) str and labels (N,) int64; the keys are those of the data set.

    correct: name of a row ("probe/fused/linear/100") -> (N,) float32, the share of label draws in which it was right.
    """

    keys: NDArray[np.str_]
    groups: NDArray[np.str_]
    labels: NDArray[np.int64]
    correct: Mapping[str, NDArray[np.float32]]


def sample_scores(rows: Sequence[ProbeRow], task: ProbeTask, keys: NDArray[np.str_]) -> SampleScores:
    """Of the rows of one task; keys (n,): of all samples of its table."""
    test = task.labelled_test()
    correct = {row.name: row.correct.astype(np.float32) for row in rows}
    return SampleScores(keys[test].astype(str), task.groups[test].astype(str), task.labels[test], correct)


def write_sample_scores(scores: SampleScores, path: Path) -> None:
    """Write the table whole or not at all: one row a sample, one column a row of the results."""
    columns = {"key": pa.array(scores.keys.tolist()), "group": pa.array(scores.groups.tolist())}
    columns |= {"label": pa.array(scores.labels)}
    table = pa.table(columns | {name: pa.array(values) for name, values in scores.correct.items()})
    path.parent.mkdir(parents=True, exist_ok=True)
    with durable_file(path) as file:
        pq.write_table(table, file)


def read_sample_scores(path: Path) -> SampleScores:
    """Inverse of `write_sample_scores`. Raises OutputError where the table is missing or damaged."""
    try:
        table = pq.read_table(path, memory_map=False)
        found = {name: table[name].to_numpy() for name in table.column_names}
        keys, groups, labels = (found.pop(name) for name in _COLUMNS)
    except (pa.ArrowException, OSError, KeyError) as error:
        raise OutputError(
            f"{path} cannot be read: {error}",
            code="OUT_DAMAGED",
            fix="delete probe/result.json there and run `kindred probe` again",
        ) from error
    return SampleScores(keys.astype(str), groups.astype(str), labels, found)
