"""Reading by number: agrees with the raw files, and any change of a shard is noticed."""

import copy
import hashlib
import os
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.data.index import load_index
from pipeline.data.manifest import MANIFEST_NAME, load_manifest
from pipeline.data.read import ShardReader
from pipeline.data.verify import verify_dataset
from pipeline.errors import DataError, Problems
from tests.pipeline.data.raw_files_of_a_user import (
    describe,
    ingest_toy,
    open_reader,
    write_raw,
    write_table,
)


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ingested folder with several shards; do not change it."""
    folder = tmp_path_factory.mktemp("read")
    write_raw(folder / "raw")
    ingest_toy(describe(shard_mib=0.005), folder / "raw", folder / "data")
    return folder / "data"


@pytest.fixture
def copied(data: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    for path in data.rglob("*"):
        target = tmp_path / "data" / path.relative_to(data)
        if path.is_dir():
            target.mkdir(parents=True)
        else:
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    return tmp_path / "data"


@given(st.lists(st.integers(0, 11), min_size=1, max_size=20))
@settings(max_examples=30)
def test_a_batch_is_its_samples_in_the_asked_order(data: Path, idx: list[int]) -> None:
    reader, index = open_reader(data)
    with reader:
        batch = reader.batch(np.array(idx), streams=["imu", "note"], label="activity")
        for row, i in enumerate(idx):
            single = reader.batch(np.array([i]), streams=["imu", "note"], label="activity")
            assert batch.signals["imu"].values[row].equal(single.signals["imu"].values[0])
            assert int(batch.labels[row]) == index.labels("activity")[i]
            assert int(batch.content["imu"][row]) == index.content("imu")[i]


def test_absent_payloads_keep_their_places(tmp_path: Path) -> None:
    rows = write_raw(tmp_path / "raw")
    for row in rows[::3]:
        row["note"] = ""
    write_table(tmp_path / "raw", rows)
    ingest_toy(describe(shard_mib=0.005), tmp_path / "raw", tmp_path / "data")
    reader, index = open_reader(tmp_path / "data")
    idx = np.array([7, 0, 3, 11, 0, 5])
    absent = [not rows[int(index.key[i][1:])]["note"] for i in idx]

    found = reader.payloads(idx, ["note", "imu"])

    assert any(absent)
    assert [payload is None for payload in found["note"]] == absent
    for row, i in enumerate(idx):
        assert {name: [found[name][row]] for name in found} == reader.payloads(np.array([i]), ["note", "imu"])
    assert reader.payloads(idx[:0], ["imu"]) == {"imu": []}
    assert reader.payloads(idx, []) == {}
    everywhere = reader.batch(idx, streams=["note"]).signals["note"].present
    assert everywhere.tolist() == [not gone for gone in absent]


def test_streams_and_labels_that_are_not_asked_for_are_not_read(data: Path) -> None:
    reader, _ = open_reader(data)

    batch = reader.batch(np.array([0]), streams=["note"])

    assert list(batch.signals) == ["note"]
    assert batch.labels is None


@pytest.mark.parametrize("name", ["labels", "group", "stream", "content", "present"])
def test_unknown_names_are_refused_with_the_known_ones(data: Path, name: str) -> None:
    with pytest.raises(DataError) as caught:
        getattr(load_index(data), name)("nonsense")

    assert caught.value.code == "DATA_FIELD"
    assert caught.value.expected


@pytest.mark.fault("D04")
def test_every_flipped_payload_byte_is_noticed_at_reading_and_named(copied: Path) -> None:
    manifest, index = load_manifest(copied), load_index(copied)
    generator = np.random.default_rng(0)
    reader, _ = open_reader(copied)
    with reader:
        for _ in range(200):
            i, name = int(generator.integers(len(index))), ("imu", "note")[int(generator.integers(2))]
            columns, shard = index.stream(name), manifest.shards[index.shard[i]].name
            with (copied / "shards" / shard).open("r+b") as file:
                position = int(columns.offset[i] + generator.integers(columns.size[i]))
                file.seek(position)
                old = file.read(1)
                file.seek(position)
                file.write(bytes([old[0] ^ (1 << int(generator.integers(8)))]))
                file.flush()
                with pytest.raises(DataError) as caught:
                    reader.batch(np.array([i]), streams=[name])
                file.seek(position)
                file.write(old)
            error = caught.value
            assert (error.code, error.shard, error.key, error.field) == ("DATA_CHECKSUM", shard, index.key[i], name)


def test_every_flipped_byte_anywhere_is_noticed_by_verification(copied: Path) -> None:
    manifest = load_manifest(copied)
    path = copied / "shards" / manifest.shards[0].name
    whole = path.read_bytes()
    verify_dataset(copied, manifest)
    for position in range(0, len(whole), 97):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1]) + whole[position + 1 :])
        with pytest.raises(Problems) as caught:
            verify_dataset(copied, manifest)
        assert {p.shard for p in caught.value.problems} == {manifest.shards[0].name}


def test_verification_names_the_damaged_samples_of_all_shards(copied: Path) -> None:
    manifest, index = load_manifest(copied), load_index(copied)
    damaged = [0, len(index) - 1]
    for i in damaged:
        with (copied / "shards" / manifest.shards[index.shard[i]].name).open("r+b") as file:
            file.seek(int(index.stream("imu").offset[i]))
            file.write(b"\xff\xff")
    (copied / "streams" / "note" / "words.json").write_text("{}")

    with pytest.raises(Problems) as caught:
        verify_dataset(copied, manifest)

    found = {(problem.key, problem.field) for problem in caught.value.problems}
    assert found == {(None, "note"), *((index.key[i], "imu") for i in damaged)}


@pytest.mark.fault("D01", "D32")
@pytest.mark.parametrize(
    ("change", "code"),
    [(-512, "DATA_TRUNCATED"), (-5000, "DATA_TRUNCATED"), (512, "DATA_CHANGED"), (None, "DATA_CHANGED")],
)
def test_a_cut_grown_or_deleted_shard_is_refused_at_opening(copied: Path, change: int | None, code: str) -> None:
    entry = load_manifest(copied).shards[0]
    path = copied / "shards" / entry.name
    if change is None:
        path.unlink()
    else:
        os.truncate(path, entry.bytes + change)
    reader, _ = open_reader(copied)

    with pytest.raises(DataError) as caught:
        reader.batch(np.array([0]), streams=["imu"])

    assert (caught.value.code, caught.value.shard) == (code, entry.name)


@pytest.mark.fault("D32")
def test_a_shard_cut_while_it_is_open_is_noticed(copied: Path) -> None:
    reader, index = open_reader(copied)
    reader.batch(np.array([0]), streams=["imu"])
    os.truncate(copied / "shards" / reader.manifest.shards[0].name, int(index.stream("imu").offset[0]) + 3)

    with pytest.raises(DataError) as caught:
        reader.batch(np.array([0]), streams=["imu"])

    assert (caught.value.code, caught.value.got) == ("DATA_TRUNCATED", 3)


def test_a_codec_that_refuses_is_quoted_with_the_place(copied: Path) -> None:
    """A payload that has its checksum but not its schema: the manifest of another, honest-looking data set."""
    reader, index = open_reader(copied)
    reader.codecs["imu"] = reader.codecs["note"]
    reader.codecs["note"] = open_reader(copied)[0].codecs["imu"]

    with pytest.raises(DataError) as caught:
        reader.batch(np.arange(12), streams=["note"])

    assert caught.value.code == "DATA_SHAPE"
    assert caught.value.field == "note"
    assert caught.value.key in index.key
    assert caught.value.shard is not None


def _replace_index(folder: Path, **columns: object) -> None:
    """Write a hostile index with matching hashes in the manifest."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(folder / "index.parquet")
    for name, values in columns.items():
        position = table.schema.get_field_index(name)
        table = table.set_column(position, name, pa.array(values))
    pq.write_table(table, folder / "index.parquet")
    manifest = load_manifest(folder)
    digest = hashlib.sha256((folder / "index.parquet").read_bytes()).hexdigest()
    (folder / MANIFEST_NAME).write_text(manifest.model_copy(update={"index_sha256": digest}).to_text())


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("imu.offset", -1),
        ("imu.offset", 2**62),
        ("imu.size", 2**62),
        ("imu.size", -2),
        ("shard", 99),
        ("shard", -1),
        ("label.activity", 3),
        ("label.activity", -2),
    ],
)
def test_an_index_that_points_outside_is_refused(copied: Path, column: str, value: int) -> None:
    import pyarrow.parquet as pq

    values = pq.read_table(copied / "index.parquet").column(column).to_pylist()
    _replace_index(copied, **{column: [*values[:-1], value]})

    with pytest.raises(DataError) as caught:
        load_index(copied)

    assert caught.value.code == "DATA_INDEX"


def test_an_index_that_is_not_the_manifests_is_refused(copied: Path) -> None:
    path = copied / "index.parquet"
    path.write_bytes(path.read_bytes() + b" ")

    with pytest.raises(DataError) as caught:
        load_index(copied)

    assert caught.value.code == "DATA_CHECKSUM"


def test_a_reader_can_be_copied_while_shards_are_open(data: Path) -> None:
    reader, _ = open_reader(data)
    expected = reader.batch(np.array([1]), streams=["imu"]).signals["imu"].values

    twin = copy.deepcopy(reader)
    reader.close()

    assert isinstance(twin, ShardReader)
    assert twin.batch(np.array([1]), streams=["imu"]).signals["imu"].values.equal(expected)
    assert reader.batch(np.array([1]), streams=["imu"]).signals["imu"].values.equal(expected)
