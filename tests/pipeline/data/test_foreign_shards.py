"""Archives that webdataset's own writer made are indexed where they lie; hostile and damaged ones are refused."""

import io
import json
import os
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset

from pipeline.data.description import Description
from pipeline.data.foreign_tar import ForeignArchive
from pipeline.data.verify import verify_dataset
from pipeline.errors import DataError, KindredError, Problems, SecurityError
from tests.pipeline.data.folder_digest import digest
from tests.pipeline.data.raw_files_of_a_user import ingest_toy, open_reader


def describe(**changes: object) -> Description:
    """Archives in shards/: a series, a note and labels in JSON."""
    document = {
        "records": {
            "kind": "webdataset",
            "path": "shards/*.tar",
            "key": None,
            "columns": {
                "activity": {"suffix": "cls"},
                "subject": {"suffix": "json", "at": ["meta", "subject"]},
            },
        },
        "streams": {
            "imu": {"kind": "member", "suffix": "imu.f32"},
            "note": {"kind": "member", "suffix": "txt", "optional": True},
        },
        "groups": {"subject": "subject"},
        "labels": {"activity": "activity"},
        "split": {"kind": "values", "group": "subject", "validation": [2], "test": [3]},
    }
    return Description.model_validate(document | changes)


def sample(number: int) -> dict[str, bytes | str]:
    """A sample whose key has dots and a folder; every third has no note."""
    series = np.random.default_rng(number).normal(size=(2, 20)).astype("<f4").tobytes()
    meta = json.dumps({"meta": {"subject": number % 4}})
    members: dict[str, bytes | str] = {"imu.f32": series, "cls": str(number % 3), "json": meta}
    return members | ({} if number % 3 == 0 else {"txt": f"note {number}"})


def write_shards(root: Path, *, num_shards: int = 3) -> None:
    """Eight samples an archive, by webdataset's writer with its float time stamps (PAX headers)."""
    (root / "shards").mkdir(parents=True)
    for shard in range(num_shards):
        with webdataset.TarWriter(str(root / "shards" / f"other-{shard}.tar"), encoder=False) as tar:
            for number in range(8 * shard, 8 * shard + 8):
                members = {name: v if isinstance(v, bytes) else v.encode() for name, v in sample(number).items()}
                tar.write({"__key__": f"set/2024-01-0{shard}/w{number:03d}", **members})


def write_tar(
    path: Path, members: list[tuple[str, bytes]], *, kind: bytes = tarfile.REGTYPE, **options: object
) -> None:
    """An archive by tarfile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with tarfile.open(path, "w", **options) as tar:  # type: ignore[call-overload]
        for name, payload in members:
            info = tarfile.TarInfo(name)
            info.size, info.type = len(payload) if kind == tarfile.REGTYPE else 0, kind
            info.linkname = "target" if kind in (tarfile.SYMTYPE, tarfile.LNKTYPE) else ""
            tar.addfile(info, io.BytesIO(payload))


def walk(path: Path) -> list[str]:
    with ForeignArchive(path, path.name) as archive:
        return [member.name for member in archive.members()]


def test_archives_are_indexed_in_place(tmp_path: Path) -> None:
    write_shards(tmp_path / "raw")
    before = digest(tmp_path / "raw")

    manifest = ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")

    assert digest(tmp_path / "raw") == before
    assert (manifest.num_samples, len(manifest.shards)) == (24, 3)
    assert [shard.sha256 for shard in manifest.shards] == list(before.values())
    reader, index = open_reader(tmp_path / "data")
    stored = reader.payloads(np.arange(24), ["imu", "note"])
    expected = [sample(number) for number in range(24)]
    assert stored["imu"] == [s["imu.f32"] for s in expected]
    assert stored["note"] == [str(s["txt"]).encode() if "txt" in s else None for s in expected]
    assert index.group("subject").tolist() == [str(n % 4) for n in range(24)]
    assert [manifest.labels["activity"][c] for c in index.labels("activity")] == [str(n % 3) for n in range(24)]
    originals = pq.read_table(tmp_path / "data" / "originals.parquet").to_pylist()
    assert originals[9] == {
        "key": "000009", "original_key": "set/2024-01-01/w009", "original_shard": "shards/other-1.tar"
    }  # fmt: skip
    verify_dataset(tmp_path / "data", manifest)
    urls = [str(tmp_path / "data" / "shards" / shard.name) for shard in manifest.shards]
    assert len(list(webdataset.WebDataset(urls, shardshuffle=False))) == 24


def test_data_set_and_archives_may_move_together(tmp_path: Path) -> None:
    write_shards(tmp_path / "here" / "raw")
    manifest = ingest_toy(describe(), tmp_path / "here" / "raw", tmp_path / "here" / "data")

    (tmp_path / "here").rename(tmp_path / "there")
    verify_dataset(tmp_path / "there" / "data", manifest)
    (tmp_path / "there" / "raw").rename(tmp_path / "away")

    with pytest.raises(Problems) as caught:
        verify_dataset(tmp_path / "there" / "data", manifest)
    assert {problem.code for problem in caught.value.problems} == {"DATA_CHANGED"}


def test_bad_members_are_named_all_at_once_or_quarantined(tmp_path: Path) -> None:
    write_shards(tmp_path / "raw", num_shards=1)
    good = [
        (f"k{n}.{name}", v if isinstance(v, bytes) else v.encode()) for n in (8, 9) for name, v in sample(n).items()
    ]
    bad = [("k1.imu.f32", b"123"), ("k1.json", b'{"meta": {"subject": 1}}'), ("k2.json", b'{"meta": {"subject": 1}}')]
    write_tar(tmp_path / "raw" / "shards" / "z.tar", good + bad)

    with pytest.raises(Problems) as caught:
        ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")
    manifest = ingest_toy(describe(policy="quarantine"), tmp_path / "raw", tmp_path / "data")

    assert [(p.code, p.shard, p.key, p.field) for p in caught.value.problems] == [
        ("DATA_SHAPE", "shards/z.tar", "000010", "imu"),
        ("DATA_MISSING_MODALITY", "shards/z.tar", "000011", "imu"),
    ]
    assert manifest.quarantine == ("000010", "000011")
    assert manifest.num_samples == 10


@pytest.mark.fault("D19")
def test_interleaved_members_and_long_names_are_put_together(tmp_path: Path) -> None:
    names = [f"{'x' * 60}/{'y' * 60}.{n}" for n in range(9)]
    suffixes = ("imu.f32", "cls", "json")
    members = [(f"{name}.{suffix}", sample(n)[suffix]) for suffix in suffixes for n, name in enumerate(names)]
    for number, style in enumerate([tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT]):
        root = tmp_path / str(number)
        encoded = [(name, v if isinstance(v, bytes) else v.encode()) for name, v in members]
        write_tar(root / "raw" / "shards" / "a.tar", encoded, format=style)

        ingest_toy(describe(), root / "raw", root / "data")

        reader, _ = open_reader(root / "data")
        assert reader.payloads(np.arange(9), ["imu"])["imu"] == [sample(n)["imu.f32"] for n in range(9)]


def test_undeclared_and_repeated_members_are_refused(tmp_path: Path) -> None:
    write_shards(tmp_path / "raw", num_shards=2)
    write_tar(tmp_path / "raw" / "shards" / "y.tar", [("a.cls", b"1"), ("a.cls", b"1")])
    write_tar(tmp_path / "raw" / "shards" / "z.tar", [("a.pkl", b"1")])

    with pytest.raises(Problems) as caught:
        ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")

    found = [(p.code, p.shard) for p in caught.value.problems]
    assert found == [("DATA_DUPLICATE_KEY", "shards/y.tar"), ("SEC_FORBIDDEN_TYPE", "shards/z.tar")]


@pytest.mark.fault("D30")
@pytest.mark.parametrize(
    "kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.CHRTYPE, tarfile.FIFOTYPE, tarfile.GNUTYPE_SPARSE]
)
def test_links_devices_and_sparse_files_are_refused(tmp_path: Path, kind: bytes) -> None:
    write_tar(tmp_path / "a.tar", [("a.txt", b"")], kind=kind)

    with pytest.raises(SecurityError) as caught:
        walk(tmp_path / "a.tar")

    assert caught.value.code == "SEC_TAR_MEMBER"


@pytest.mark.fault("S05", "D23")
@pytest.mark.parametrize(
    ("name", "code"),
    [("../a.txt", "SEC_PATH"), ("/etc/a.txt", "SEC_PATH"), ("a/../../b.txt", "SEC_PATH"), ("a\\..\\b.txt", "SEC_PATH"),
     ("a\x1b[2J.txt", "DATA_NAME"), ("caf\udce9.txt", "DATA_NAME")],
)  # fmt: skip
@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT])
def test_names_that_leave_the_archive_are_refused(tmp_path: Path, name: str, code: str, style: int) -> None:
    write_tar(tmp_path / "a.tar", [(name, b"1")], format=style, errors="surrogateescape")

    with pytest.raises(KindredError) as caught:
        walk(tmp_path / "a.tar")

    assert caught.value.code == code


@pytest.mark.fault("D29", "D30")
def test_a_pax_header_cannot_smuggle_a_name_or_a_size(tmp_path: Path) -> None:
    for headers, code in [
        ({"path": "../../x"}, "SEC_PATH"),
        ({"size": "99999999999"}, "DATA_TRUNCATED"),
        ({"size": "-5"}, "DATA_TAR"),
        ({"GNU.sparse.map": "0,1"}, "SEC_TAR_MEMBER"),
        ({"comment": "x" * 70_000}, "DATA_TAR"),
    ]:
        with tarfile.open(tmp_path / "a.tar", "w", format=tarfile.PAX_FORMAT) as tar:
            info = tarfile.TarInfo("a.txt")
            info.size, info.pax_headers = 1, headers
            tar.addfile(info, io.BytesIO(b"1"))

        with pytest.raises(KindredError) as caught:
            walk(tmp_path / "a.tar")

        assert caught.value.code == code, headers


@pytest.mark.fault("D02", "D03")
def test_a_cut_at_any_block_is_noticed(tmp_path: Path) -> None:
    write_tar(tmp_path / "a.tar", [("a.txt", b"1" * 700), ("b.txt", b"2")], format=tarfile.PAX_FORMAT)

    for cut in range(0, 5 * 512 + 1, 512):
        os.truncate(tmp_path / "a.tar", 10_240)
        whole = (tmp_path / "a.tar").read_bytes()
        (tmp_path / "b.tar").write_bytes(whole[:cut])
        with pytest.raises(DataError) as caught:
            walk(tmp_path / "b.tar")
        assert caught.value.code == "DATA_TRUNCATED"


def test_a_stream_whose_codec_reads_another_format_is_refused(tmp_path: Path) -> None:
    write_shards(tmp_path / "raw")

    streams = {"imu": {"kind": "member", "suffix": "cls"}}
    records = describe().records.model_dump() | {"ignore": "all"}

    with pytest.raises(Problems) as caught:
        ingest_toy(describe(streams=streams, records=records), tmp_path / "raw", tmp_path / "data")

    assert [(p.code, p.field) for p in caught.value.problems] == [("CONFIG_STREAM", "streams.imu.suffix")]


@pytest.mark.fault("D28")
@pytest.mark.parametrize(
    "text",
    ['{"meta": {"subject": 1, "subject": 2}}', '{"meta": NaN}', "[" * 100_000, "{", '{"meta": {"subject": [1]}}'],
)
def test_bad_json_is_named_with_archive_and_key(tmp_path: Path, text: str) -> None:
    write_tar(tmp_path / "raw" / "shards" / "a.tar", [("k.json", text.encode()), ("k.imu.f32", bytes(16))])

    with pytest.raises(Problems) as caught:
        ingest_toy(describe(), tmp_path / "raw", tmp_path / "data")

    (problem,) = caught.value.problems
    assert problem.code in {"DATA_JSON", "DATA_DTYPE"}
    assert (problem.shard, problem.key) == ("shards/a.tar", "k")
