"""Tables of step features survive the disk exactly; those of something else, or damaged ones, are refused."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.errors import CheckpointError, DataError
from pipeline.evaluate.step_table import LabelledSteps, read_steps, write_steps

LENGTHS = {3: 5, 1: 2, 8: 7, 4: 1}


def samples() -> list[LabelledSteps]:
    rng = np.random.default_rng(0)
    return [
        LabelledSteps(idx, rng.normal(size=(-(-steps // 2), 3)).astype(np.float32), rng.integers(-1, 4, steps))
        for idx, steps in LENGTHS.items()
    ]


def written(path: Path, batches: Sequence[Sequence[LabelledSteps]]) -> Path:
    write_steps(batches, path, encoder_hash="abc", stride=2)
    return path


def test_a_table_survives_the_disk_exactly(tmp_path: Path) -> None:
    own = samples()
    path = written(tmp_path / "deep" / "s.parquet", [own[:2], [], own[2:]])

    table = read_steps(path, encoder_hash="abc")
    found = [steps for batch in table.batches(np.arange(10)) for steps in batch]

    assert (table.stride, [steps.idx for steps in found]) == (2, [*LENGTHS])
    for mine, theirs in zip(own, found, strict=True):
        assert mine.values.dtype == theirs.values.dtype
        assert np.array_equal(mine.values, theirs.values)
        assert np.array_equal(mine.classes, theirs.classes)
    assert [path.name for path in path.parent.iterdir()] == ["s.parquet"]


def test_only_the_samples_that_are_asked_for_are_read(tmp_path: Path) -> None:
    own = samples()
    path = written(tmp_path / "s.parquet", [own[:2], own[2:]])
    table = read_steps(path, encoder_hash="abc")

    assert [[steps.idx for steps in batch] for batch in table.batches(np.array([1, 4, 9]))] == [[1], [4]]
    assert [[steps.idx for steps in batch] for batch in table.batches(np.array([4, 8]))] == [[8, 4]]
    assert pq.ParquetFile(path).num_row_groups == 2, "a batch of samples at a time is held in memory"


def test_what_something_else_made_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "s.parquet", [samples()])

    with pytest.raises(CheckpointError, match=r"FEATURES_STALE.*expected=abd got=abc"):
        read_steps(path, encoder_hash="abd")
    with pytest.raises(DataError, match="FEATURES_MISSING"):
        read_steps(tmp_path / "none.parquet", encoder_hash="abc")
    pq.write_table(pq.read_table(path).drop_columns(["classes"]), path)
    with pytest.raises(DataError, match="not a table of step features"):
        read_steps(path, encoder_hash="abc")


@pytest.mark.parametrize("keep", [0, 10, 400, -1])
def test_a_cut_file_is_a_data_error(tmp_path: Path, keep: int) -> None:
    path = written(tmp_path / "s.parquet", [samples()])
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(DataError, match="cannot be read"):
        read_steps(path, encoder_hash="abc")


def test_features_that_are_not_finite_are_refused(tmp_path: Path) -> None:
    own = samples()
    own[2].values[1, 1] = np.nan
    table = read_steps(written(tmp_path / "s.parquet", [own]), encoder_hash="abc")

    assert [steps.idx for batch in table.batches(np.array([3, 1])) for steps in batch] == [3, 1]
    with pytest.raises(DataError, match=r"not finite.*idx 8"):
        list(table.batches(np.array([8])))
