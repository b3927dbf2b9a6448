"""Verification of a whole data set: every kind of damage is found and named, all in one pass."""

import dataclasses
import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from jobs._shard_pool import ShardPool
from modalities.spec import Codec
from pipeline.data.index import Index, index_bytes, load_index
from pipeline.data.manifest import Manifest, load_manifest, stream_folder
from pipeline.data.ustar import walk_members
from pipeline.data.verify import VerifyReport, verify_dataset
from pipeline.errors import KindredError, Problems
from tests.pipeline.data.raw_files_of_a_user import describe, ingest_toy, write_raw
from tests.pipeline.data.signed_manifest import signed
from tests.toy_modality import make_codec


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An ingested folder with several shards; do not change it."""
    folder = tmp_path_factory.mktemp("verify")
    write_raw(folder / "raw", num_records=24)
    ingest_toy(describe(shard_mib=0.005, unit_records=6), folder / "raw", folder / "data")
    return folder / "data"


@pytest.fixture
def data(whole: Path, tmp_path: Path) -> Path:
    """A copy to damage."""
    return shutil.copytree(whole, tmp_path / "data")


def codecs(folder: Path, manifest: Manifest) -> dict[str, Codec]:
    return {name: make_codec(name, stream_folder(folder, name)) for name in manifest.streams}


def verified(folder: Path) -> VerifyReport:
    manifest = load_manifest(folder)
    return verify_dataset(folder, manifest, codecs(folder, manifest))


def problems(folder: Path) -> list[KindredError]:
    with pytest.raises(Problems) as caught:
        verified(folder)
    return caught.value.problems


def change_shard(folder: Path, number: int, change: Callable[[bytearray], None]) -> None:
    """Change a shard and give the manifest its new hash: only the index can tell."""
    document = json.loads((folder / "manifest.json").read_text())
    path = folder / "shards" / document["shards"][number]["name"]
    content = bytearray(path.read_bytes())
    change(content)
    path.write_bytes(content)
    document["shards"][number] |= {"sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}
    (folder / "manifest.json").write_text(signed(document))


def change_index(folder: Path, change: Callable[[Index], Index]) -> None:
    payload = index_bytes(change(load_index(folder)))
    (folder / "index.parquet").write_bytes(payload)
    document = json.loads((folder / "manifest.json").read_text())
    document["index_sha256"] = hashlib.sha256(payload).hexdigest()
    (folder / "manifest.json").write_text(signed(document))


def rename(content: bytearray, position: int, name: bytes) -> None:
    """Another name in the header at `position`, with the right checksum."""
    content[position : position + 100] = name.ljust(100, b"\0")
    content[position + 148 : position + 156] = b" " * 8
    content[position + 148 : position + 156] = b"%06o\0 " % sum(content[position : position + 512])


def test_a_whole_data_set_passes_in_any_number_of_processes(whole: Path) -> None:
    manifest = load_manifest(whole)
    seen: list[int] = []

    one = verify_dataset(whole, manifest, codecs(whole, manifest), progress=seen.append)
    two = verify_dataset(whole, manifest, codecs(whole, manifest), map_shards=ShardPool(2))

    assert one == two
    assert len(manifest.shards) > 2
    assert seen[-1] == one.num_bytes == sum(entry.bytes for entry in manifest.shards)
    assert {drift.where for drift in one.drifts} >= {"validation", "test"}


def test_a_renamed_member_is_found_though_all_checksums_are_right(data: Path) -> None:
    def swap(content: bytearray) -> None:
        member = next(m for m in walk_members(memoryview(bytes(content)), shard="") if m.name.endswith(".imu.f32"))
        rename(content, member.offset - 512, b"other.imu.f32")

    change_shard(data, 0, swap)

    (found,) = problems(data)
    assert (found.code, found.field, found.got) == ("DATA_MEMBER", "imu", "other.imu.f32")


@pytest.mark.fault("D09")
def test_missing_and_unknown_members_are_found(data: Path) -> None:
    def rename_meta(content: bytearray) -> None:
        member = next(m for m in walk_members(memoryview(bytes(content)), shard="") if m.name.endswith(".meta.json"))
        rename(content, member.offset - 512, b"stranger.imu.f32")

    change_shard(data, 1, rename_meta)

    found = problems(data)
    assert {problem.code for problem in found} == {"DATA_MEMBER"}
    assert any(problem.got == "stranger.imu.f32" for problem in found)
    assert any(str(problem.got).endswith(".meta.json") for problem in found)


def test_swapped_payloads_of_equal_size_are_found(data: Path) -> None:
    index = load_index(data)
    a, b = np.flatnonzero(index.shard == 0)[:2].tolist()
    columns = index.stream("imu")

    def swap(content: bytearray) -> None:
        first, second = (slice(o, o + s) for o, s in ((columns.offset[i], columns.size[i]) for i in (a, b)))
        content[first], content[second] = content[second], content[first]

    change_shard(data, 0, swap)

    assert {(p.code, p.key, p.field) for p in problems(data)} == {
        ("DATA_CHECKSUM", index.key[i], "imu") for i in (a, b)
    }


def test_bytes_behind_the_end_mark_and_a_second_damaged_shard_are_both_reported(data: Path) -> None:
    change_shard(data, 0, lambda content: content.extend(b"x" * 512))
    change_shard(data, 1, lambda content: rename(content, 0, b"other"))

    found = problems(data)

    names = [entry.name for entry in load_manifest(data).shards]
    assert {names[0], names[1]} <= {problem.shard for problem in found}
    assert "DATA_TRAILING" in {problem.code for problem in found}


def test_changed_statistics_and_counts_are_found(data: Path) -> None:
    document = json.loads((data / "manifest.json").read_text())
    document["streams"]["imu"]["statistics"]["mean"][0] += 0.01
    document["streams"]["note"]["count"] -= 1
    (data / "manifest.json").write_text(signed(document))

    assert {(p.code, p.field) for p in problems(data)} >= {("DATA_COUNT", "note")}


def test_changed_statistics_are_found(data: Path) -> None:
    document = json.loads((data / "manifest.json").read_text())
    document["streams"]["imu"]["statistics"]["mean"][0] += 0.01
    (data / "manifest.json").write_text(signed(document))

    assert {(p.code, p.field) for p in problems(data)} == {("DATA_STATISTICS", "imu")}


def test_windows_that_overlap_across_splits_and_groups_in_two_splits_are_leaks(data: Path) -> None:
    def one_record(index: Index) -> Index:
        start = np.arange(len(index)) * 5
        return dataclasses.replace(index, record=np.zeros_like(index.record), start_ns=start, end_ns=start + 8)

    def one_subject(index: Index) -> Index:
        return dataclasses.replace(index, groups={"subject": np.full(len(index), "1")})

    change_index(data, one_record)
    change_index(data, one_subject)

    assert {(p.code, p.field) for p in problems(data)} == {("LEAK", "start_ns"), ("LEAK", "subject")}


@pytest.mark.fault("D20")
def test_equal_samples_across_splits_are_a_leak_unless_they_were_allowed(tmp_path: Path) -> None:
    rows = write_raw(tmp_path / "raw")
    shutil.copy(tmp_path / "raw" / rows[0]["imu"], tmp_path / "raw" / rows[2]["imu"])
    shutil.copy(tmp_path / "raw" / rows[0]["imu"], tmp_path / "raw" / rows[4]["imu"])
    streams = {"imu": describe().streams["imu"].model_dump()}
    ingest_toy(describe(allow_duplicates=True, streams=streams), tmp_path / "raw", tmp_path / "data")

    assert verified(tmp_path / "data").duplicates == {"imu": 2}
    path = tmp_path / "data" / "manifest.json"
    document = json.loads(path.read_text())
    del document["split"]["rule"]["allow_duplicates"]
    path.write_text(signed(document))

    (found,) = problems(tmp_path / "data")
    assert (found.code, found.field) == ("LEAK", "content")
