"""Every kind of bad raw data: its code, its place, and that all of them are reported in one pass."""

import io
import json
import os
from pathlib import Path

import numpy as np
import pytest

from pipeline.data.manifest import load_manifest
from pipeline.errors import DataError, KindredError, LeakError, Problems, SecurityError
from tests.pipeline.data.raw_files_of_a_user import describe, ingest_toy, open_reader, write_raw, write_table

Rows = list[dict[str, str]]


def problems_of(raw: Path, **changes: object) -> list[KindredError]:
    """What an ingest of `raw` complains about; nothing may be left behind."""
    with pytest.raises((Problems, DataError)) as caught:
        ingest_toy(describe(**changes), raw, raw.parent / "data")

    assert not (raw.parent / "data").exists()
    return caught.value.problems if isinstance(caught.value, Problems) else [caught.value]


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    write_raw(tmp_path / "raw")
    return tmp_path / "raw"


@pytest.fixture
def rows(raw: Path) -> Rows:
    lines = (raw / "records.csv").read_text().splitlines()
    return [dict(zip(lines[0].split(","), line.split(","), strict=True)) for line in lines[1:]]


def _npy(values: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, values)
    return file.getvalue()


HUGE = _npy(np.zeros((20, 2), np.float32)).replace(b"(20, 2), } ", b"(1000000000000, 2), }", 1)


@pytest.mark.fault("D28")
@pytest.mark.parametrize(
    ("content", "code"),
    [
        (None, "DATA_MISSING_FILE"),
        (_npy(np.zeros((20, 3), np.float32)), "DATA_CHANNELS"),
        (_npy(np.zeros((20, 2, 1), np.float32)), "DATA_SHAPE"),
        (_npy(np.zeros((0, 2), np.float32)), "DATA_EMPTY_SERIES"),
        (_npy(np.full((20, 2), np.inf, np.float32)), "DATA_NONFINITE"),
        (_npy(np.array([["a", "b"]])), "DATA_SHAPE"),
        (_npy(np.zeros((20, 2), np.float32))[:-4], "DATA_TRUNCATED"),
        (HUGE, "DATA_TRUNCATED"),
        (b"no array at all", "DATA_ARRAY"),
        (b"", "DATA_ARRAY"),
    ],
)
def test_a_bad_array_is_named_with_record_and_stream(raw: Path, content: bytes | None, code: str) -> None:
    path = raw / "imu" / "r5.npy"
    path.unlink()
    if content is not None:
        path.write_bytes(content)

    (problem,) = problems_of(raw)

    assert (problem.code, problem.key, problem.field) == (code, "r5", "imu")


@pytest.mark.fault("S02")
def test_pickled_objects_are_refused_without_being_loaded(raw: Path) -> None:
    class Canary:
        def __reduce__(self) -> tuple[object, ...]:
            return (Path.touch, (raw / "canary",))

    np.save(raw / "imu" / "r5.npy", np.array([[Canary()]], dtype=object), allow_pickle=True)

    (problem,) = problems_of(raw, policy="quarantine")

    assert isinstance(problem, SecurityError)
    assert problem.code == "SEC_FORBIDDEN_TYPE"
    assert not (raw / "canary").exists()


@pytest.mark.fault("S05")
@pytest.mark.parametrize(
    "name", ["../secret.npy", "/etc/passwd", "imu/../../secret.npy", "imu/link.npy", "way/out.npy"]
)
@pytest.mark.parametrize("policy", ["strict", "quarantine"])
def test_paths_that_leave_the_root_are_refused(raw: Path, rows: Rows, name: str, policy: str) -> None:
    np.save(raw.parent / "secret.npy", np.zeros((20, 2), np.float32))
    np.save(raw.parent / "out.npy", np.zeros((20, 2), np.float32))
    (raw / "imu" / "link.npy").symlink_to(raw.parent / "secret.npy")
    (raw / "way").symlink_to(raw.parent)
    rows[3]["imu"] = name
    write_table(raw, rows)

    (problem,) = problems_of(raw, policy=policy)

    assert isinstance(problem, SecurityError)
    assert (problem.code, problem.key, problem.field) == ("SEC_PATH", "r3", "imu")


def test_a_link_inside_the_root_is_fine(raw: Path, rows: Rows) -> None:
    (raw / "imu" / "link.npy").symlink_to(raw / "imu" / "r3.npy")
    rows[3]["imu"] = "imu/link.npy"
    write_table(raw, rows)

    assert ingest_toy(describe(), raw, raw.parent / "data").num_samples == 12


def test_a_fifo_does_not_hang(raw: Path) -> None:
    (raw / "imu" / "r5.npy").unlink()
    os.mkfifo(raw / "imu" / "r5.npy")

    assert [problem.code for problem in problems_of(raw)] == ["DATA_MISSING_FILE"]


def test_all_problems_come_in_one_pass(raw: Path, rows: Rows) -> None:
    (raw / "imu" / "r1.npy").unlink()
    np.save(raw / "imu" / "r2.npy", np.zeros((20, 5)))
    rows[4]["imu"] = ""
    rows[6]["key"] = "r 6"
    rows[8]["key"] = "R7"
    write_table(raw, rows)

    found = {(problem.code, problem.key) for problem in problems_of(raw)}

    assert found == {
        ("DATA_MISSING_FILE", "r1"),
        ("DATA_CHANNELS", "r2"),
        ("DATA_MISSING_MODALITY", "r4"),
        ("DATA_NAME", "r 6"),
        ("DATA_DUPLICATE_KEY", "R7"),
    }


@pytest.mark.fault("S10")
@pytest.mark.parametrize("key", ["a.b", "a b", "a/b", "", "é", "a\x1b[2J", "x" * 65])
def test_keys_that_no_archive_can_hold_are_refused(raw: Path, rows: Rows, key: str) -> None:
    rows[2]["key"] = key
    write_table(raw, rows)

    (problem,) = problems_of(raw)

    assert (problem.code, problem.key) == ("DATA_NAME", key)
    assert "\x1b" not in str(problem)


@pytest.mark.fault("D18")
def test_a_duplicate_key_names_both_places(raw: Path, rows: Rows) -> None:
    rows[7]["key"] = "r1"
    write_table(raw, rows)

    (problem,) = problems_of(raw)

    assert problem.code == "DATA_DUPLICATE_KEY"
    assert problem.got == ["row 1: r1", "row 7: r1"]


def test_a_group_in_two_splits_is_a_leak(raw: Path, rows: Rows) -> None:
    rows = [{**row, "split": "test" if number == 0 else "train"} for number, row in enumerate(rows)]
    write_table(raw, rows)
    split = {"kind": "column", "column": "split", "values": {"train": ["train"], "test": ["test"]}}

    (problem,) = problems_of(raw, split={**split, "disjoint": ["subject"]}, policy="quarantine")

    assert isinstance(problem, LeakError)
    assert problem.code == "LEAK"
    assert "subject '0'" in problem.message
    assert "test (record r0)" in problem.message
    assert "train (record r4)" in problem.message


@pytest.mark.fault("D20")
def test_equal_content_in_two_splits_is_a_leak(raw: Path, rows: Rows) -> None:
    (raw / "imu" / "r3.npy").write_bytes((raw / "imu" / "r0.npy").read_bytes())
    rows[3]["note"] = rows[0]["note"]
    write_table(raw, rows)

    (problem,) = problems_of(raw)

    assert isinstance(problem, LeakError)
    assert problem.code == "LEAK_CONTENT"
    assert problem.got == ["r0", "r3"]
    assert ingest_toy(describe(allow_duplicates=True), raw, raw.parent / "data").num_samples == 12


@pytest.mark.parametrize(
    ("split", "code"),
    [
        ({"kind": "values", "group": "subject", "test": [0, 1, 2, 3]}, "DATA_EMPTY_SPLIT"),
        ({"kind": "values", "group": "subject", "test": [9]}, "DATA_SPLIT"),
        ({"kind": "groups", "group": "activity", "fractions": {"validation": 0.4, "test": 0.5}}, "DATA_EMPTY_SPLIT"),
        ({"kind": "column", "column": "activity", "disjoint": []}, "DATA_SPLIT"),
    ],
)
def test_impossible_splits_are_named(raw: Path, split: dict[str, object], code: str) -> None:
    found = problems_of(raw, split=split)

    assert [problem.code for problem in found] == [code]


def test_a_column_that_does_not_exist_is_named_with_its_place(raw: Path) -> None:
    found = problems_of(raw, groups={"subject": "person"}, labels={"activity": "aktivity"})

    assert [(p.code, p.field, p.expected) for p in found] == [
        ("DATA_COLUMN", "groups.subject", "person"),
        ("DATA_COLUMN", "labels.activity", "aktivity"),
    ]


@pytest.mark.parametrize(
    ("table", "code"),
    [
        (b"key,subject\nr\xe9,1\n", "DATA_ENCODING"),
        (b"key,subject\nr1,1,7\n", "DATA_COLUMN"),
        (b"key,key\nr1,1\n", "DATA_COLUMN"),
        (b'key,subject\n"r1,1\n', "DATA_CSV"),
        (b"key,subject\n", "DATA_EMPTY_TABLE"),
        (b"", "DATA_COLUMN"),
    ],
)
def test_an_unreadable_table_is_named(raw: Path, table: bytes, code: str) -> None:
    (raw / "records.csv").write_bytes(table)

    assert [problem.code for problem in problems_of(raw)] == [code]


@pytest.mark.fault("D21")
def test_text_that_is_not_utf8_is_named_with_its_byte(raw: Path, rows: Rows) -> None:
    for row in rows:
        (raw / f"{row['key']}.txt").write_bytes(b"plain")
    (raw / "r4.txt").write_bytes(b"caf\xe9")
    streams = {"note": {"kind": "text_file", "path": "{key}.txt"}}

    (problem,) = problems_of(raw, streams=streams, allow_duplicates=True)

    assert (problem.code, problem.key, problem.field, problem.offset) == ("DATA_ENCODING", "r4", "note", 3)


def test_quarantine_leaves_bad_records_out_and_lists_them(raw: Path, rows: Rows) -> None:
    (raw / "imu" / "r1.npy").unlink()
    rows[6]["key"] = "r 6"
    write_table(raw, rows)

    manifest = ingest_toy(describe(policy="quarantine"), raw, raw.parent / "data")

    assert manifest.quarantine == ("row:6", "r1")
    assert manifest == load_manifest(raw.parent / "data")
    _, index = open_reader(raw.parent / "data")
    assert index.key.tolist() == [f"r{n}" for n in range(12) if n not in (1, 6)]
    report = json.loads((raw.parent / "data" / "quarantine.json").read_text())
    assert [problem["code"] for problem in report] == ["DATA_NAME", "DATA_MISSING_FILE"]


def test_long_lists_of_problems_are_cut_and_counted(tmp_path: Path) -> None:
    rows = write_raw(tmp_path / "raw", num_records=4)
    write_table(tmp_path / "raw", [{**rows[0], "key": "same"} for _ in range(1501)])

    found = problems_of(tmp_path / "raw")

    assert [p.code for p in found] == ["DATA_SPLIT", *["DATA_DUPLICATE_KEY"] * 1000, "DATA_MORE_PROBLEMS"]
    assert found[-1].got == 500
