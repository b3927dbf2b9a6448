"""Several data sets read as one: each sample is the one of its own reader, and differences are named."""

from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.data.concatenated import ConcatenatedReader
from pipeline.data.read import ShardReader
from pipeline.errors import DataError, Problems
from tests.pipeline.data.raw_files_of_a_user import RATE_HZ, describe, ingest_toy, open_reader, write_raw

IMU = {"kind": "npy", "path": "{imu}", "layout": "TC", "channels": ["x", "y"], "rate_hz": RATE_HZ}


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two data sets with equal streams, of 12 and 8 records."""
    made = []
    for num_records in (12, 8):
        folder = tmp_path_factory.mktemp("part")
        write_raw(folder / "raw", num_records=num_records)
        ingest_toy(describe(streams={"imu": IMU}), folder / "raw", folder / "data")
        made.append(folder / "data")
    return made


@pytest.fixture
def readers(folders: list[Path]) -> list[ShardReader]:
    return [open_reader(folder)[0] for folder in folders]


def test_numbers_of_the_second_follow_those_of_the_first(readers: list[ShardReader]) -> None:
    idx = np.array([19, 0, 12, 11, 3, 15])
    batch = ConcatenatedReader(readers).batch(idx, streams=["imu"])
    for row, i in enumerate(idx.tolist()):
        reader, local = (readers[0], i) if i < 12 else (readers[1], i - 12)
        single = reader.batch(np.array([local]), streams=["imu"])
        assert torch.equal(batch.signals["imu"].values[row], single.signals["imu"].values[0])
        assert int(batch.content["imu"][row]) == int(single.content["imu"][0])

    assert batch.idx.tolist() == idx.tolist()


def test_a_damaged_sample_is_named_by_its_own_shard_and_numbers_outside_are_refused(
    readers: list[ShardReader], tmp_path: Path
) -> None:
    write_raw(tmp_path / "raw", num_records=8)
    ingest_toy(describe(streams={"imu": IMU}), tmp_path / "raw", tmp_path / "data")
    reader, index = open_reader(tmp_path / "data")
    with (tmp_path / "data" / "shards" / reader.manifest.shards[0].name).open("r+b") as file:
        file.seek(int(index.stream("imu").offset[5]) + 90)
        file.write(b"\xff\xff\xff\xff")
    whole = ConcatenatedReader([readers[0], reader])

    with pytest.raises(DataError) as caught:
        whole.batch(np.array([1, 12 + 5]), streams=["imu"])
    assert (caught.value.code, caught.value.key) == ("DATA_CHECKSUM", str(index.key[5]))
    for outside in (-1, 20):
        with pytest.raises(IndexError):
            whole.batch(np.array([outside]), streams=["imu"])


def test_every_difference_of_schema_and_streams_is_named(readers: list[ShardReader]) -> None:
    manifest = readers[1].manifest
    imu = manifest.streams["imu"]
    changed = imu.model_copy(update={"schema_": {**imu.schema_, "rate_hz": 99.0}})
    other = readers[1]
    other.manifest = manifest.model_copy(update={"streams": {"imu": changed, "note": imu}})

    with pytest.raises(Problems) as caught:
        ConcatenatedReader(readers)

    fields = {problem.field for problem in caught.value.problems}
    assert fields == {"streams", "streams.imu.rate_hz"}
    assert {problem.code for problem in caught.value.problems} == {"DATA_MIX"}


def test_other_fitted_files_are_a_difference(tmp_path: Path) -> None:
    readers = []
    for num_records in (12, 8):
        folder = tmp_path / str(num_records)
        write_raw(folder / "raw", num_records=num_records)
        ingest_toy(describe(), folder / "raw", folder / "data")
        readers.append(open_reader(folder / "data")[0])

    with pytest.raises(Problems, match=r"DATA_MIX.*streams\.note\.files"):
        ConcatenatedReader(readers)


def test_labels_need_equal_classes(readers: list[ShardReader]) -> None:
    whole = ConcatenatedReader(readers)
    with pytest.raises(DataError, match=r"DATA_MIX.*activity"):
        whole.batch(np.array([0, 12]), streams=["imu"], label="activity")
