"""Labels of single steps: declared with their stream, cut and resampled with it, checked, and read in batches."""

import hashlib
import json
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import webdataset
from pydantic import ValidationError

from pipeline.data.index import index_bytes, load_index
from pipeline.data.ingest import ingest
from pipeline.data.manifest import INDEX_NAME, MANIFEST_NAME, Manifest, load_manifest, parse_manifest, stream_folder
from pipeline.data.shard_source import LocalShards
from pipeline.data.step_codec import StepCodec
from pipeline.data.verify import verify_dataset
from pipeline.errors import ConfigError, DataError, Problems
from tests.pipeline.data.raw_files_of_a_user import RATE_HZ, describe, ingest_toy, open_reader, write_raw, write_table
from tests.toy_modality import MAX_STEPS, SCHEMAS, make_codec

LABELLED = {**SCHEMAS, "imu": {**SCHEMAS["imu"], "max_steps": MAX_STEPS}}
CLASSES = {"0": "rest", "7": "lift", "3": "turn"}
"""In class order: rest, turn, lift."""

TIMED = {"kind": "csv", "path": "p", "channels": ["phase"], "rate_hz": RATE_HZ, "time": {"column": "t"}}


def phase(**changes: object) -> dict[str, dict[str, object]]:
    """The `step_labels` section of a description; keys of its source replaced."""
    source = {"kind": "npy", "path": "phase/{key}.npy", "layout": "T", "channels": ["phase"], "rate_hz": RATE_HZ}
    return {"phase": {"stream": "imu", "source": source | changes, "classes": CLASSES, "unknown": ["255"]}}


def write_labelled(root: Path, num_steps: int = 20) -> list[dict[str, str]]:
    """`write_raw` with a file of codes beside every recording."""
    rows = write_raw(root, num_steps=num_steps)
    (root / "phase").mkdir()
    for number, row in enumerate(rows):
        codes = np.random.default_rng(number).choice([0, 3, 7, 255], num_steps).astype(np.int16)
        np.save(root / "phase" / f"{row['key']}.npy", codes)
    return rows


def codes_of(root: Path, key: str) -> list[int]:
    """Class numbers that a file of codes stands for."""
    return [{0: 0, 3: 1, 7: 2, 255: -1}[code] for code in np.load(root / "phase" / f"{key}.npy").tolist()]


def ingested(tmp_path: Path, **changes: object) -> Manifest:
    description = describe(**{"step_labels": phase(), **changes})
    return ingest(description, tmp_path / "raw", tmp_path / "data", schemas=LABELLED, make_codec=make_codec)


def verify(folder: Path) -> None:
    manifest = load_manifest(folder)
    codecs = {name: make_codec(name, stream_folder(folder, name)) for name in manifest.streams}
    verify_dataset(LocalShards(folder), manifest, codecs)


def test_they_come_back_with_their_stream(tmp_path: Path) -> None:
    rows = write_labelled(tmp_path / "raw")

    manifest = ingested(tmp_path)

    reader, _ = open_reader(tmp_path / "data")
    batch = reader.batch(np.array([5, 0]), streams=["imu"], step_labels=["phase"])
    assert batch.step_labels["phase"].shape == (2, MAX_STEPS)
    for place, number in enumerate([5, 0]):
        assert batch.step_labels["phase"][place, :20].tolist() == codes_of(tmp_path / "raw", rows[number]["key"])
    assert (batch.step_labels["phase"][:, 20:] == -1).all()
    assert manifest.step_labels["phase"].classes == ("rest", "turn", "lift")
    assert manifest.step_labels["phase"].count == 12
    assert (batch.to(batch.idx.device).step_labels["phase"] == batch.step_labels["phase"]).all()
    verify(tmp_path / "data")
    (sample, *_) = webdataset.WebDataset([str(tmp_path / "data/shards/shard-00000.tar")], shardshuffle=False).decode()
    assert sample["phase.npy"].tolist() == codes_of(tmp_path / "raw", "r0")


def test_windows_cut_them_with_their_stream(tmp_path: Path) -> None:
    write_labelled(tmp_path / "raw", num_steps=30)

    ingested(tmp_path, window={"length_s": 1, "stride_s": 0.5, "min_fraction": 0.5})

    reader, index = open_reader(tmp_path / "data")
    batch = reader.batch(np.arange(6), streams=["imu"], step_labels=["phase"])
    expected = codes_of(tmp_path / "raw", "r0")
    assert index.key[:6].tolist() == [f"r0-{w:05d}" for w in range(6)]
    for window in range(6):
        own = expected[5 * window : 5 * window + 10]
        assert batch.step_labels["phase"][window, : len(own)].tolist() == own
        assert (batch.step_labels["phase"][window, len(own) :] == -1).all()
    verify(tmp_path / "data")


def test_codes_of_another_rate_are_taken_from_the_nearest_step_and_never_blended(tmp_path: Path) -> None:
    write_labelled(tmp_path / "raw")
    for path in (tmp_path / "raw" / "phase").iterdir():
        np.save(path, np.repeat([0, 7], 4))

    ingested(tmp_path, step_labels=phase(rate_hz=4.0))

    reader, _ = open_reader(tmp_path / "data")
    found = reader.batch(np.array([0]), streams=["imu"], step_labels=["phase"]).step_labels["phase"][0, :20].tolist()
    assert found == [0 if round(k / 10 * 4 - 1e-9) < 4 else 2 for k in range(20)]


def test_timed_codes_are_laid_where_they_belong(tmp_path: Path) -> None:
    write_labelled(tmp_path / "raw")
    time = {"column": "t", "unit": "s"}
    for number in range(12):
        imu = np.load(tmp_path / "raw" / "imu" / f"r{number}.npy")
        lines = [f"{5 + k / 10},{x},{y}" for k, (x, y) in enumerate(imu.tolist())]
        (tmp_path / "raw" / "imu" / f"r{number}.csv").write_text("\n".join(["t,x,y", *lines]))
        codes = [f"{5.3 + k / 10},{'' if k == 2 else 3}" for k in range(5)]
        (tmp_path / "raw" / "phase" / f"r{number}.csv").write_text("\n".join(["t,phase", *codes]))
    csv = {"kind": "csv", "rate_hz": RATE_HZ, "time": time}
    streams = {"imu": {**csv, "path": "imu/{key}.csv", "channels": ["x", "y"]}, "note": describe().streams["note"]}
    labels = phase()
    labels["phase"] |= {"source": {**csv, "path": "phase/{key}.csv", "channels": ["phase"]}}

    ingested(tmp_path, streams=streams, step_labels=labels)

    reader, _ = open_reader(tmp_path / "data")
    batch = reader.batch(np.array([0]), streams=["imu"], step_labels=["phase"])
    assert batch.step_labels["phase"][0, :20].tolist() == [-1] * 3 + [1, 1, -1, 1, 1] + [-1] * 12


def test_missing_streams_and_missing_labels_are_unknown(tmp_path: Path) -> None:
    rows = write_labelled(tmp_path / "raw")
    rows[0]["imu"] = ""
    write_table(tmp_path / "raw", rows)
    (tmp_path / "raw" / "phase" / "r1.npy").unlink()
    imu = describe().streams["imu"].model_copy(update={"optional": True})

    manifest = ingested(
        tmp_path, streams={"imu": imu, "note": describe().streams["note"]}, step_labels=phase(optional=True)
    )

    reader, _ = open_reader(tmp_path / "data")
    batch = reader.batch(np.arange(3), streams=["imu"], step_labels=["phase"])
    known = (batch.step_labels["phase"] >= 0).any(dim=1).tolist()
    assert (batch.signals["imu"].present.tolist(), known) == ([False, True, True], [False, False, True])
    assert manifest.step_labels["phase"].count == 10
    verify(tmp_path / "data")


@pytest.mark.parametrize(
    ("codes", "code"),
    [
        (np.zeros(19, np.int16), "DATA_SHAPE"),
        (np.array([0] * 19 + [4], np.int16), "DATA_LABEL"),
        (np.array([0] * 19 + [2.5]), "DATA_LABEL"),
        (np.array(["lift"] * 20), "DATA_SHAPE"),
        (np.zeros((20, 2), np.int16), "DATA_SHAPE"),
        (np.zeros(0, np.int16), "DATA_EMPTY_SERIES"),
    ],
)
def test_codes_that_do_not_fit_name_record_and_label(tmp_path: Path, codes: np.ndarray, code: str) -> None:
    write_labelled(tmp_path / "raw")
    np.save(tmp_path / "raw" / "phase" / "r3.npy", codes)

    with pytest.raises(Problems) as caught:
        ingested(tmp_path)

    assert [(p.code, p.key, p.field) for p in caught.value.problems] == [(code, "r3", "phase")]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (phase(scale=2.0), "leave out"),
        (phase(resample_hz=5.0), "leave out"),
        (phase(channels=["a", "b"]), "one channel"),
        ({"phase": {**phase()["phase"], "stream": "note"}}, "no stream with a series"),
        ({"imu": phase()["phase"]}, "has the name of a stream"),
        ({"activity": phase()["phase"]}, "has the name of a stream or of a label"),
        ({"phase": {**phase()["phase"], "classes": {"0": "a", "1": "a"}}}, "distinct names"),
        ({"phase": {**phase()["phase"], "unknown": ["7"]}}, "both a class and unknown"),
        ({"phase": {**phase()["phase"], "source": TIMED}}, "either both sources have time stamps"),
    ],
)
def test_wrong_descriptions_are_refused(labels: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        describe(step_labels=labels)


def test_a_stream_without_steps_is_refused(tmp_path: Path) -> None:
    write_labelled(tmp_path / "raw")

    with pytest.raises(Problems, match="no max_steps") as caught:
        ingest_toy(describe(step_labels=phase()), tmp_path / "raw", tmp_path / "data")

    assert isinstance(caught.value.problems[0], ConfigError)


def test_data_sets_without_step_labels_are_what_they_were(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")

    ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")

    document = json.loads((tmp_path / "data" / MANIFEST_NAME).read_text())
    assert "step_labels" not in document
    description = describe().model_dump_json()
    assert "step_labels" not in description
    assert "nearest" not in description


def test_equal_labels_in_two_splits_are_no_copies_but_equal_signals_are(tmp_path: Path) -> None:
    rows = write_labelled(tmp_path / "raw")
    for path in (tmp_path / "raw" / "phase").iterdir():
        np.save(path, np.zeros(20, np.int16))
    ingested(tmp_path)
    verify(tmp_path / "data")
    (tmp_path / "data").rename(tmp_path / "first")

    write_table(tmp_path / "raw", [{**row, "note": "the same", "imu": "imu/r0.npy"} for row in rows])
    np.save(tmp_path / "raw" / "phase" / "r3.npy", np.full(20, 7, np.int16))
    with pytest.raises(Problems, match="same content") as caught:
        ingested(tmp_path)

    assert "r3" in {problem.key for problem in caught.value.problems}, "other labels do not make other content"


def tamper(folder: Path, numbers: np.ndarray) -> None:
    """Other labels for the first sample, with every size and checksum made right again."""
    manifest = load_manifest(folder)
    index = load_index(folder, manifest)
    place, payload = index.step_labels["phase"], StepCodec(30000, MAX_STEPS).encode(numbers)
    shard, offset, old = folder / "shards" / manifest.shards[0].name, int(place.offset[0]), int(place.size[0])
    content = bytearray(shard.read_bytes())
    content[offset : offset + old] = payload.ljust(old, b"\0")
    header = offset - 512
    content[header + 124 : header + 136] = b"%011o\0" % len(payload)
    content[header + 148 : header + 156] = b" " * 8
    content[header + 148 : header + 156] = b"%06o\0 " % sum(content[header:offset])
    shard.write_bytes(content)
    crc32, size = place.crc32.copy(), place.size.copy()
    crc32[0], size[0] = zlib.crc32(payload), len(payload)
    rows = index_bytes(replace(index, step_labels={"phase": replace(place, crc32=crc32, size=size)}))
    (folder / INDEX_NAME).write_bytes(rows)
    entry = manifest.shards[0].model_copy(update={"sha256": hashlib.sha256(content).hexdigest()})
    update = {"index_sha256": hashlib.sha256(rows).hexdigest(), "shards": (entry, *manifest.shards[1:])}
    (folder / MANIFEST_NAME).write_text(manifest.model_copy(update=update).to_text())


@pytest.mark.parametrize(
    ("numbers", "code"), [(np.full(20, 3, np.int16), "DATA_LABEL"), (np.zeros(12, np.int16), "DATA_SHAPE")]
)
def test_stored_labels_that_are_wrong_are_found_by_reader_and_verify(
    tmp_path: Path, numbers: np.ndarray, code: str
) -> None:
    write_labelled(tmp_path / "raw")
    ingested(tmp_path)

    tamper(tmp_path / "data", numbers)

    reader, _ = open_reader(tmp_path / "data")
    with pytest.raises(DataError) as caught:
        reader.batch(np.arange(2), streams=["imu"], step_labels=["phase"])
    assert (caught.value.code, caught.value.key, caught.value.field) == (code, "r0", "phase")
    with pytest.raises(Problems) as found:
        verify(tmp_path / "data")
    assert [(p.code, p.key, p.field) for p in found.value.problems] == [(code, "r0", "phase")]


@pytest.mark.parametrize(
    ("stream", "max_steps", "name"),
    [("gps", 64, "phase"), ("imu", None, "phase"), ("imu", 10**12, "phase"), ("imu", 64, "note")],
)
def test_a_manifest_with_impossible_step_labels_is_damaged(
    tmp_path: Path, stream: str, max_steps: int | None, name: str
) -> None:
    write_labelled(tmp_path / "raw")
    document = ingested(tmp_path).model_dump(mode="json", by_alias=True)
    document["streams"]["imu"]["schema"]["max_steps"] = max_steps
    document["step_labels"] = {name: document["step_labels"]["phase"] | {"stream": stream}}

    with pytest.raises(DataError, match="is damaged") as caught:
        parse_manifest(json.dumps(document).encode(), "manifest.json")

    assert caught.value.code == "DATA_MANIFEST"


def test_an_index_with_labels_of_an_absent_stream_is_refused(tmp_path: Path) -> None:
    write_labelled(tmp_path / "raw")
    manifest = ingested(tmp_path)
    index = load_index(tmp_path / "data", manifest)
    size = index.stream("imu").size.copy()
    size[3] = -1
    rows = index_bytes(replace(index, streams={**index.streams, "imu": replace(index.stream("imu"), size=size)}))
    (tmp_path / "data" / INDEX_NAME).write_bytes(rows)

    with pytest.raises(DataError, match="has phase of samples without its stream"):
        load_index(tmp_path / "data", manifest.model_copy(update={"index_sha256": hashlib.sha256(rows).hexdigest()}))
