"""Raw files to a data set folder: contents, determinism, atomicity, reruns."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import webdataset

from pipeline.data.ingest import ingest
from pipeline.errors import OutputError
from tests.pipeline.data.folder_digest import digest
from tests.pipeline.data.raw_files_of_a_user import describe, ingest_toy, open_reader, write_raw, write_table
from tests.toy_modality import SCHEMAS, make_codec


def test_samples_come_back_as_they_were(tmp_path: Path) -> None:
    rows = write_raw(tmp_path / "raw")

    manifest = ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")

    reader, index = open_reader(tmp_path / "data")
    batch = reader.batch(np.arange(12), streams=["imu", "note"], label="activity")
    for i, row in enumerate(rows):
        raw = np.load(tmp_path / "raw" / row["imu"])
        np.testing.assert_array_equal(batch.signals["imu"].values[i, :, :20].numpy(), raw.T)
        assert manifest.labels["activity"][int(batch.labels[i])] == row["activity"]
    assert index.group("subject").tolist() == [row["subject"] for row in rows]
    assert index.key.tolist() == [row["key"] for row in rows]
    assert manifest.split.counts == {"train": 6, "validation": 3, "test": 3}
    assert index.group("subject")[index.rows("test")].tolist() == ["3"] * 3
    assert index.start_ns.tolist() == [-1] * 12


def test_statistics_and_fitted_files_come_from_the_training_split_alone(tmp_path: Path) -> None:
    rows = write_raw(tmp_path / "raw")
    train = [row for row in rows if row["subject"] in "01"]

    manifest = ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")

    series = np.concatenate([np.load(tmp_path / "raw" / row["imu"]) for row in train])
    assert manifest.streams["imu"].statistics["mean"] == pytest.approx(series.mean(axis=0).tolist(), abs=1e-6)
    words = json.loads((tmp_path / "data" / "streams" / "note" / "words.json").read_text())
    assert set(words) == {word for row in train for word in row["note"].split()}
    assert manifest.streams["note"].files.keys() == {"streams/note/words.json"}


def test_the_same_raw_files_give_the_same_bytes(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    description = describe(shard_mib=0.02)

    first = ingest_toy(description, tmp_path / "raw", tmp_path / "one")
    second = ingest_toy(description, tmp_path / "raw", tmp_path / "two")

    assert len(first.shards) > 1
    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    assert first.sha256 == second.sha256


def test_webdataset_reads_the_shards(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    manifest = ingest_toy(describe(shard_mib=0.02), tmp_path / "raw", tmp_path / "data")
    reader, index = open_reader(tmp_path / "data")

    urls = [str(tmp_path / "data" / "shards" / shard.name) for shard in manifest.shards]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))

    assert [sample["__key__"] for sample in samples] == index.key.tolist()
    for i, sample in enumerate(samples):
        assert reader.payloads(np.array([i]), ["imu"]) == {"imu": [sample["imu.f32"]]}
        assert json.loads(sample["meta.json"])["groups"] == {"subject": index.group("subject")[i]}


def test_missing_optional_streams_are_absent(tmp_path: Path) -> None:
    rows = write_raw(tmp_path / "raw")
    rows[1]["note"] = ""
    write_table(tmp_path / "raw", rows)

    manifest = ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")

    reader, index = open_reader(tmp_path / "data")
    batch = reader.batch(np.array([0, 1]), streams=["note"])
    assert batch.signals["note"].present.tolist() == [True, False]
    assert batch.content["note"][1] == -2
    assert index.present("note").sum() == manifest.streams["note"].count == 11


def test_a_finished_data_set_is_not_written_again(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    first = ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")
    stamps = {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")}

    second = ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")

    assert second == first
    assert {path: path.stat().st_mtime_ns for path in (tmp_path / "data").rglob("*")} == stamps


def test_another_description_or_changed_raw_files_are_refused(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")
    before = digest(tmp_path / "data")

    with pytest.raises(OutputError, match="another description"):
        ingest_toy(describe(shard_mib=1.0), tmp_path / "raw", tmp_path / "data")
    np.save(tmp_path / "raw" / "imu" / "r0.npy", np.zeros((30, 2), np.float32))
    with pytest.raises(OutputError, match="other names, sizes or times") as caught:
        ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")

    assert "data.ingest=null" in caught.value.fix
    assert digest(tmp_path / "data") == before


@pytest.mark.parametrize("damage", ["manifest", "shard", "foreign"])
def test_a_damaged_or_foreign_folder_is_refused_and_kept(tmp_path: Path, damage: str) -> None:
    write_raw(tmp_path / "raw")
    if damage == "foreign":
        (tmp_path / "data").mkdir()
        (tmp_path / "data" / "thesis.txt").write_text("keep me")
    else:
        ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")
        victim = tmp_path / "data" / ("manifest.json" if damage == "manifest" else "shards/shard-00000.tar")
        os.truncate(victim, victim.stat().st_size - 512)
    before = digest(tmp_path / "data")

    with pytest.raises(OutputError) as caught:
        ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")

    assert caught.value.code == "OUT_EXISTS"
    assert "delete" in caught.value.fix
    assert digest(tmp_path / "data") == before


def test_progress_counts_every_unit(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    seen: list[tuple[int, int]] = []

    ingest(
        describe(unit_records=5), tmp_path / "raw", tmp_path / "data", schemas=SCHEMAS, make_codec=make_codec,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip

    assert seen == [(0, 12), (5, 12), (10, 12), (12, 12)]


def test_shards_are_named_in_their_order(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")

    manifest = ingest_toy(describe(unit_records=5, shard_mib=0.008), tmp_path / "raw", tmp_path / "data")

    names = [shard.name for shard in manifest.shards]
    assert names[:3] == ["shard-00000.tar", "shard-00000_001.tar", "shard-00001.tar"]
    assert names == sorted(names)
    _, index = open_reader(tmp_path / "data")
    assert index.key.tolist() == [f"r{n}" for n in range(12)]
