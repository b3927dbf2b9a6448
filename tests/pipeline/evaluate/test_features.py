from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import torch

from pipeline.errors import CheckpointError, DataError
from pipeline.evaluate.features import Features, extract, read_features, write_features
from pipeline.types import Batch
from tests.toy_streams import toy_reader


def batches(order: list[list[int]]) -> Iterator[Batch]:
    read = toy_reader(12, absent={"b": 3})
    return (read(np.array(idx)) for idx in order)


def encode(batch: Batch) -> dict[str, torch.Tensor]:
    """Values a reader can predict; not zero where the stream is absent."""
    return {"a": batch.idx[:, None] * torch.ones(2), "b": batch.idx[:, None] + 100 * torch.ones(3)}


@pytest.fixture
def features() -> Features:
    return extract(batches([[5, 2, 7], [0, 11, 3]]), encode)


def test_rows_are_sorted_by_sample_and_zero_where_absent(features):
    assert features.idx.tolist() == [0, 2, 3, 5, 7, 11]
    assert features.values["a"][:, 0].tolist() == [0, 2, 3, 5, 7, 11]
    assert features.present["b"].tolist() == [False, True, False, True, True, True]
    assert features.values["b"][:, 0].tolist() == [0, 102, 0, 105, 107, 111]


def test_a_table_survives_the_disk_exactly(features, tmp_path: Path):
    write_features(features, tmp_path / "deep" / "f.parquet", encoder_hash="abc")
    read = read_features(tmp_path / "deep" / "f.parquet", encoder_hash="abc")

    assert np.array_equal(read.idx, features.idx)
    for name in ("a", "b"):
        assert np.array_equal(read.values[name], features.values[name])
        assert np.array_equal(read.present[name], features.present[name])
    assert [path.name for path in (tmp_path / "deep").iterdir()] == ["f.parquet"]


def test_features_of_another_encoder_are_refused(features, tmp_path: Path):
    write_features(features, tmp_path / "f.parquet", encoder_hash="abc")

    with pytest.raises(CheckpointError, match=r"FEATURES_STALE.*expected=abd got=abc"):
        read_features(tmp_path / "f.parquet", encoder_hash="abd")


@pytest.mark.parametrize("keep", [0, 10, 400, -1])
def test_a_cut_file_is_a_data_error(features, tmp_path: Path, keep: int):
    path = tmp_path / "f.parquet"
    write_features(features, path, encoder_hash="abc")
    path.write_bytes(path.read_bytes()[:keep])

    with pytest.raises(DataError, match="cannot be read"):
        read_features(path, encoder_hash="abc")


def test_another_table_is_a_data_error(features, tmp_path: Path):
    path = tmp_path / "f.parquet"
    write_features(features, path, encoder_hash="abc")
    table = pq.read_table(path)
    pq.write_table(table.drop_columns(["b.present"]), path)

    with pytest.raises(DataError, match="not a table of features"):
        read_features(path, encoder_hash="abc")


def test_a_failed_write_leaves_the_old_table(features, tmp_path: Path):
    path = tmp_path / "f.parquet"
    write_features(features, path, encoder_hash="abc")
    broken = Features(features.idx, features.values, {"a": features.present["a"][:2], "b": features.present["b"]})

    with pytest.raises(ValueError):
        write_features(broken, path, encoder_hash="new")

    assert len(read_features(path, encoder_hash="abc")) == 6
    assert [p.name for p in tmp_path.iterdir()] == ["f.parquet"]


def test_a_sample_that_comes_twice_is_refused():
    with pytest.raises(DataError, match=r"twice.*idx 2"):
        extract(batches([[1, 2], [2, 3]]), encode)


def test_not_finite_features_name_the_sample():
    def broken(batch: Batch) -> dict[str, torch.Tensor]:
        return {"a": torch.where(batch.idx == 7, torch.nan, 1.0)[:, None]}

    with pytest.raises(DataError, match=r"not finite.*field=a got=idx 7"):
        extract(batches([[5, 7]]), broken)


def test_positions(features):
    assert features.positions(np.array([11, 0])).tolist() == [5, 0]
    with pytest.raises(DataError, match="idx 4"):
        features.positions(np.array([3, 4]))
