from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DataError
from pipeline.evaluate.pseudo_labels import PseudoLabels, read_pseudo_labels, write_pseudo_labels


def written(folder: Path, **columns: object) -> Path:
    pq.write_table(pa.table(columns), folder / "pseudo_labels.parquet")
    return folder / "pseudo_labels.parquet"


def test_rows_come_by_sample_number_and_those_of_other_data_sets_are_left_out(tmp_path: Path) -> None:
    imu, fused = np.array([3, -1, 0, 1], np.int32), np.array([0, 1, 2, 3], np.int32)
    path = written(tmp_path, idx=np.array([7, 2, 100, 0]), imu=imu, fused=fused)

    found = read_pseudo_labels(path, num_samples=100)

    assert found is not None
    assert found.idx.tolist() == [0, 2, 7]
    assert {name: values.tolist() for name, values in found.spaces.items()} == {"imu": [1, -1, 3], "fused": [3, 1, 0]}
    assert read_pseudo_labels(path, num_samples=0) is None


def test_what_was_written_is_read(tmp_path: Path) -> None:
    labels = PseudoLabels(np.array([1, 4]), {"imu": np.array([5, -1]), "fused": np.array([0, 0])})
    write_pseudo_labels(tmp_path / "pseudo_labels.parquet", labels)

    found = read_pseudo_labels(tmp_path / "pseudo_labels.parquet", num_samples=5)

    assert found is not None
    np.testing.assert_equal({"idx": found.idx, **found.spaces}, {"idx": labels.idx, **labels.spaces})


def test_a_pretraining_without_memory_has_none(tmp_path: Path) -> None:
    assert read_pseudo_labels(tmp_path / "pseudo_labels.parquet", num_samples=5) is None


@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"idx": [0, 0], "imu": [1, 1]}, "twice"),
        ({"idx": [-1, 0], "imu": [1, 1]}, "negative one"),
        ({"idx": [0, 1]}, "no view space"),
        ({"imu": [0, 1], "fused": [0, 1]}, "no idx"),
        ({"idx": [0, 1], "imu": [0.5, 1.0]}, "column imu is not of integers"),
        ({"idx": [0, 1], "imu": [0, None]}, "column imu is not of integers"),
        ({"idx": [0, 1], "imu": [0, -2]}, "negative cluster"),
    ],
)
def test_a_table_of_something_else_is_refused(tmp_path: Path, columns: dict[str, list], said: str) -> None:
    with pytest.raises(DataError, match=f"PSEUDO_LABELS.*{said}"):
        read_pseudo_labels(written(tmp_path, **columns), num_samples=5)


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path, idx=[0, 1], imu=[0, 1])
    path.write_bytes(path.read_bytes()[:-20])

    with pytest.raises(DataError, match=r"PSEUDO_LABELS.*cannot be read"):
        read_pseudo_labels(path, num_samples=5)
