"""Faults in archives that others wrote: each refused with archive, sample, stream and what to do about it."""

import gzip
import tarfile
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from pipeline.errors import KindredError, Problems
from tests.faults import mutators
from tests.faults.foreign_archive import STREAMS, Members, contents, description, index, npy, samples, tar

FIRST = "rec/2024-01-01T00.00"


def refused(root: Path, archives: dict[str, bytes], **changes: object) -> list[KindredError]:
    """What indexing the archives complains about; nothing may be left behind, every complaint has a fix."""
    for name, content in archives.items():
        (root / name).write_bytes(content)
    with pytest.raises((KindredError, Problems)) as caught:
        index(root, root / "data", **changes)
    found = caught.value.problems if isinstance(caught.value, Problems) else [caught.value]
    assert not (root / "data").exists()
    assert [error for error in found if not error.fix] == []
    return found


def only(root: Path, members: Members, **changes: object) -> KindredError:
    """The one complaint about one archive."""
    (error,) = refused(root, {"a.tar": tar(members)}, **changes)
    return error


def changed(suffix: str, payload: bytes | None) -> Members:
    """The good samples with another member of the first one, or without it."""
    name = f"{FIRST}.{suffix}"
    kept = [member for member in samples() if member[0] != name]
    return kept if payload is None else [(name, payload), *kept]


def place(error: KindredError) -> tuple[str, int, str | None, str | None, str | None]:
    return error.code, error.exit_code, error.shard, error.key, error.field


@pytest.mark.fault("D08")
def test_a_missing_required_member_is_named(tmp_path: Path) -> None:
    error = only(tmp_path, changed("imu.npy", None))

    assert place(error) == ("DATA_MISSING_MODALITY", 65, "a.tar", "000000", "imu")


@pytest.mark.fault("D09")
def test_an_undeclared_member_is_refused_and_a_declared_one_ignored(tmp_path: Path) -> None:
    members = [*samples(), (f"{FIRST}.foo", b"x")]
    records = description().records.model_dump()

    error = only(tmp_path, members)
    manifest = index(tmp_path, tmp_path / "data", records=records | {"ignore": ["foo"]})

    assert place(error)[:3] == ("DATA_UNKNOWN_FIELD", 65, "a.tar")
    assert f"{FIRST}.foo" in error.fix
    assert manifest.num_samples == 8


SERIES = np.random.default_rng(0).normal(size=(3, 16))


@pytest.mark.fault("D10", "D11", "D12", "D13", "D15", "D16")
@pytest.mark.parametrize(
    ("array", "code", "expected", "got"),
    [
        (SERIES, "DATA_DTYPE", "<f4", "<f8"),
        (SERIES.astype(np.int16), "DATA_DTYPE", "<f4", "<i2"),
        (SERIES.astype(">f4"), "DATA_DTYPE", "<f4", ">f4"),
        (SERIES.T.copy(), "DATA_SHAPE", [3, "1..16"], [16, 3]),
        (np.zeros((3, 17)), "DATA_SHAPE", [3, "1..16"], [3, 17]),
        (np.zeros((2, 16)), "DATA_CHANNELS", ["x", "y", "z"], 2),
        (np.zeros((3, 0)), "DATA_EMPTY_SERIES", [3, "1..16"], [3, 0]),
        (np.full((3, 16), np.inf), "DATA_NONFINITE", "finite", {"channel": "x", "step": 0, "value": "inf"}),
        (SERIES * 1e30, "DATA_RANGE", "<= 1e+12", {"channel": "x", "step": 0, "value": "1.2573022e+29"}),
    ],
)
def test_a_series_that_does_not_fit_is_named_with_both_sides(
    tmp_path: Path, array: np.ndarray, code: str, expected: object, got: object
) -> None:
    wrong_type = code == "DATA_DTYPE"
    error = only(tmp_path, changed("imu.npy", npy(array if wrong_type else array.astype("<f4"))))

    assert place(error) == (code, 65, "a.tar", "000000", "imu")
    assert (error.record()["expected"], error.record()["got"]) == (expected, got)


@pytest.mark.fault("D17")
def test_archives_without_a_sample_or_a_byte_are_refused(tmp_path: Path) -> None:
    good, empty = tar(samples()), tar([])

    found = refused(tmp_path, {"a.tar": good, "b.tar": empty, "c.tar": b"", "d.tar": bytes(1024)})

    assert [place(error)[:3] for error in found] == [
        ("DATA_EMPTY_SHARD", 65, "b.tar"),
        ("DATA_TRUNCATED", 65, "c.tar"),
        ("DATA_EMPTY_SHARD", 65, "d.tar"),
    ]


@pytest.mark.fault("D18")
def test_a_key_in_two_archives_names_both(tmp_path: Path) -> None:
    members = [(name.replace("rec/2024-01-01T00.", "k"), payload) for name, payload in samples()]
    records = description().records.model_dump() | {"key": "key"}

    found = refused(tmp_path, {"a.tar": tar(members), "b.tar": tar(members[:5])}, records=records)

    (twice,) = (error for error in found if error.code == "DATA_DUPLICATE_KEY")
    assert twice.got == ["row 0: k00 in a.tar", "row 8: k00 in b.tar"]


@pytest.mark.fault("D18", "D24")
@pytest.mark.parametrize(
    ("one", "two"), [("k.txt", "k.txt"), ("k.txt", "K.txt"), ("k.txt", "k.TXT"), ("caf\u00e9.txt", "cafe\u0301.txt")]
)
def test_names_that_are_the_same_to_people_are_refused_with_both(tmp_path: Path, one: str, two: str) -> None:
    error = only(tmp_path, [(one, b"1"), *samples(), (two, b"2")])

    assert place(error)[:3] == ("DATA_DUPLICATE_KEY", 65, "a.tar")
    assert [str(found).split(" at ")[0] for found in error.got] == [one, two]  # type: ignore[attr-defined]


@pytest.mark.fault("D23")
def test_a_name_that_is_not_utf8_is_refused_and_the_message_can_be_written(tmp_path: Path) -> None:
    error = only(tmp_path, [*samples(), ("caf\udce9.txt", b"x")])

    assert place(error)[:3] == ("DATA_NAME", 65, "a.tar")
    assert error.got == b"caf\xe9.txt".hex()
    str(error).encode()


@pytest.mark.fault("D19", "D25")
def test_interleaved_members_and_keys_with_dots_come_back_whole(tmp_path: Path) -> None:
    by_suffix = sorted(samples(20), key=lambda member: member[0].rpartition(".")[2])
    (tmp_path / "a.tar").write_bytes(tar(by_suffix))
    index(tmp_path, tmp_path / "data")
    originals = pq.read_table(tmp_path / "data" / "originals.parquet").column("original_key").to_pylist()
    found = dict(zip(originals, contents(tmp_path / "data"), strict=True))

    assert len(found) == 20
    for name, payload in samples(20):
        stream = {"imu.npy": "imu", "jpg": "photo", "txt": "note"}
        key, suffix = next((name.removesuffix(f".{s}"), s) for s in (*stream, "cls", "json") if name.endswith(s))
        assert suffix not in stream or found[key][stream[suffix]] == payload


@pytest.mark.fault("D06")
def test_compressed_archives_are_refused_whatever_their_damage(tmp_path: Path) -> None:
    whole = gzip.compress(tar(samples()))
    for content in (whole, whole[:-6], whole[:-6] + bytes([whole[-6] ^ 255]) + whole[-5:]):
        (error,) = refused(tmp_path, {"a.tar": content})

        assert place(error)[:3] == ("DATA_COMPRESSED", 65, "a.tar")


@pytest.mark.fault("D06")
def test_a_compressed_member_is_no_stream(tmp_path: Path) -> None:
    members = [*samples(), (f"{FIRST}.txt.gz", gzip.compress(b"note")[:-6])]
    streams = STREAMS | {"note": {"kind": "member", "suffix": "txt.gz"}}
    records = description().records.model_dump() | {"ignore": ["txt"]}

    error = only(tmp_path, members, streams=streams, records=records)

    assert (error.code, error.exit_code, error.field) == ("CONFIG_STREAM", 64, "streams.note.suffix")


@pytest.mark.fault("D05", "D29", "D30")
@pytest.mark.parametrize("style", [tarfile.USTAR_FORMAT, tarfile.GNU_FORMAT, tarfile.PAX_FORMAT])
def test_no_damaged_header_changes_what_is_read(tmp_path: Path, style: int) -> None:
    content = tar(samples(4), style=style)
    (tmp_path / "a.tar").write_bytes(content)
    expected = contents_of(tmp_path, 0)
    starts = [n for n in range(0, len(content), 512) if content[n + 257 : n + 262] == b"ustar"]
    rng = np.random.default_rng(2)
    for number in range(150):
        start = starts[number % len(starts)]
        header, end = content[start : start + 512], start + 512
        damage = (mutators.bit_flipped, mutators.bytes_overwritten, lambda *_: b"", lambda *_: bytes(512))[number % 4]
        forged = mutators.header_forged(content, rng)
        for damaged in (content[:start] + damage(header, rng) + content[end:], forged):
            (tmp_path / "a.tar").write_bytes(damaged)
            try:
                assert contents_of(tmp_path, number + 1) == expected
            except KindredError as error:
                found = error.problems[0] if isinstance(error, Problems) else error
                assert found.exit_code in {65, 77}


def contents_of(root: Path, number: int) -> list[object]:
    """Index into a folder of its own and read everything."""
    index(root, root / f"data-{number}", split={"kind": "train_only"})
    return [sorted(sample.items(), key=str) for sample in contents(root / f"data-{number}")]
