"""Raw files to a data set folder: contents, determinism, atomicity, reruns."""

import copy
import hashlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pytest
import webdataset

from pipeline.data.encode_record import EncodedRecord, RecordEncoder
from pipeline.data.ingest import ingest
from pipeline.data.records import Record
from pipeline.data.verify import verify_shards
from pipeline.errors import OutputError, StorageError
from tests.pipeline.data.raw_files_of_a_user import describe, ingest_toy, open_reader, write_raw, write_table
from tests.toy_modality import SCHEMAS, make_codec

ROOT = Path(__file__).parents[3]


def _digest(folder: Path) -> dict[str, str]:
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest() for path in files}


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
    assert _digest(tmp_path / "one") == _digest(tmp_path / "two")
    assert first.sha256 == second.sha256


def test_webdataset_reads_the_shards(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    manifest = ingest_toy(describe(shard_mib=0.02), tmp_path / "raw", tmp_path / "data")
    reader, index = open_reader(tmp_path / "data")

    urls = [str(tmp_path / "data" / "shards" / shard.name) for shard in manifest.shards]
    samples = list(webdataset.WebDataset(urls, shardshuffle=False))

    assert [sample["__key__"] for sample in samples] == index.key.tolist()
    for i, sample in enumerate(samples):
        (decoded,) = reader.decoded(np.array([i]), "imu")
        assert sample["imu.f32"] == decoded.tobytes()
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
    before = _digest(tmp_path / "data")

    with pytest.raises(OutputError, match="another description"):
        ingest_toy(describe(shard_mib=1.0), tmp_path / "raw", tmp_path / "data")
    np.save(tmp_path / "raw" / "imu" / "r0.npy", np.zeros((30, 2), np.float32))
    with pytest.raises(OutputError, match="changed since"):
        ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")

    assert _digest(tmp_path / "data") == before


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
    before = _digest(tmp_path / "data")

    with pytest.raises(OutputError) as caught:
        ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")

    assert caught.value.code == "OUT_EXISTS"
    assert "delete" in caught.value.fix
    assert _digest(tmp_path / "data") == before


def test_a_failed_ingest_leaves_nothing(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")

    def broken_map(encode: RecordEncoder, records: Iterable[Record]) -> Iterator[EncodedRecord]:
        yield from map(encode, list(records)[:5])
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="No space left"):
        ingest(
            describe(), tmp_path / "raw", tmp_path / "data", schemas=SCHEMAS, make_codec=make_codec,
            map_records=broken_map,
        )  # fmt: skip

    assert not (tmp_path / "data").exists()
    assert not (tmp_path / ".data.partial").exists()


_VICTIM = """
import sys
from pathlib import Path
from tests.pipeline.data.raw_files_of_a_user import describe
from tests.toy_modality import SCHEMAS, make_codec
from pipeline.data.ingest import ingest

def hang(done, total):
    if done == 7:
        print("seven", flush=True)
        sys.stdin.read()

ingest(describe(shard_mib=0.001), Path("raw").absolute(), Path("data").absolute(), schemas=SCHEMAS,
       make_codec=make_codec, progress=hang)
"""


def test_a_killed_ingest_starts_over_and_ends_the_same(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    victim = subprocess.Popen(
        [sys.executable, "-c", _VICTIM], cwd=tmp_path, env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert victim.stdout is not None
    assert victim.stdout.readline() == "seven\n"

    with pytest.raises(OutputError) as busy:
        ingest_toy(describe(shard_mib=0.001), tmp_path / "raw", tmp_path / "data")
    victim.send_signal(signal.SIGKILL)
    victim.communicate()
    left = list((tmp_path / ".data.partial" / "shards").iterdir())
    manifest = ingest_toy(describe(shard_mib=0.001), tmp_path / "raw", tmp_path / "data")

    assert busy.value.code == "OUT_BUSY"
    assert len(left) >= 5
    assert not (tmp_path / ".data.partial").exists()
    verify_shards(tmp_path / "data", manifest)
    assert manifest == ingest_toy(describe(shard_mib=0.001), tmp_path / "raw", tmp_path / "undisturbed")


def test_records_may_be_encoded_elsewhere(tmp_path: Path) -> None:
    """The encoder is a value: a copy of it in another process gives the same samples."""
    write_raw(tmp_path / "raw")

    def elsewhere(encode: RecordEncoder, records: Iterable[Record]) -> Iterator[EncodedRecord]:
        return reversed([copy.deepcopy(encode)(record) for record in reversed(list(records))])

    arguments = {"schemas": SCHEMAS, "make_codec": make_codec}
    one = ingest(describe(), tmp_path / "raw", tmp_path / "one", **arguments)
    two = ingest(describe(), tmp_path / "raw", tmp_path / "two", map_records=elsewhere, **arguments)

    assert one.sha256 == two.sha256


def test_progress_counts_every_record(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    seen: list[tuple[int, int]] = []

    ingest(
        describe(), tmp_path / "raw", tmp_path / "data", schemas=SCHEMAS, make_codec=make_codec,
        progress=lambda done, total: seen.append((done, total)),
    )  # fmt: skip

    assert seen == [(n, 12) for n in range(1, 13)]
