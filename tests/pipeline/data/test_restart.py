"""An ingest in units: the same bytes for any number of processes, after any kill; finished units are kept."""

import json
import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.data.ingest import UnitMap, ingest
from pipeline.data.manifest import Manifest
from pipeline.data.records import Record
from pipeline.data.verify import verify_dataset
from pipeline.data.work_units import Unit, plan_units
from pipeline.data.write_unit import Stage, UnitWriter
from pipeline.errors import OutputError, Problems, StorageError
from tests.pipeline.data.folder_digest import digest
from tests.pipeline.data.raw_files_of_a_user import describe, write_raw
from tests.toy_modality import SCHEMAS, make_codec

DESCRIPTION = {"unit_records": 4, "shard_mib": 0.01}


def run(folder: Path, out: str = "data", *, map_units: UnitMap = map, **changes: object) -> Manifest:
    """Ingest `folder/raw` in units of four records."""
    description = describe(**{**DESCRIPTION, **changes})
    return ingest(
        description, folder / "raw", folder / out, schemas=SCHEMAS, make_codec=make_codec, map_units=map_units
    )


class Counting:
    """The built-in map, remembering the units it saw; it fails before the unit number `fail_at`."""

    def __init__(self, fail_at: int | None = None) -> None:
        self.fail_at, self.seen = fail_at, list[int]()

    def __call__(self, write: UnitWriter, units: Iterable[Unit]) -> Iterator[int]:
        for unit in units:
            if unit.number == self.fail_at:
                raise OSError(28, "No space left on device")
            self.seen.append(unit.number)
            yield write(unit)


def processes(count: int) -> UnitMap:
    """A map over processes, in the order in which they finish."""

    def run_all(write: UnitWriter, units: Iterable[Unit]) -> Iterator[int]:
        with ProcessPoolExecutor(count, mp_context=get_context("fork")) as pool:
            for future in as_completed([pool.submit(write, unit) for unit in units]):
                yield future.result()

    return run_all


def backwards(write: UnitWriter, units: Iterable[Unit]) -> Iterator[int]:
    return map(write, reversed(list(units)))


@pytest.mark.parametrize("map_units", [backwards, processes(2), processes(3)], ids=["backwards", "2", "3"])
def test_the_bytes_do_not_depend_on_who_writes_when(tmp_path: Path, map_units: UnitMap) -> None:
    write_raw(tmp_path / "raw", num_records=30)

    one = run(tmp_path, "one")
    other = run(tmp_path, "other", map_units=map_units)

    assert len({shard.name[:11] for shard in one.shards}) == 8
    assert one.sha256 == other.sha256
    assert digest(tmp_path / "one") == digest(tmp_path / "other")


def test_problems_are_reported_in_the_order_of_records(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", num_records=30)
    for number in (29, 3, 17):
        np.save(tmp_path / "raw" / "imu" / f"r{number}.npy", np.zeros((20, 5)))

    for map_units in (map, backwards, processes(2)):
        with pytest.raises(Problems) as caught:
            run(tmp_path, map_units=map_units)

        assert [(p.code, p.key, p.got) for p in caught.value.problems] == [
            ("DATA_CHANNELS", f"r{number}", 5) for number in (3, 17, 29)
        ]


def test_a_failed_ingest_keeps_its_finished_units(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")

    with pytest.raises(StorageError, match="No space left"):
        run(tmp_path, map_units=Counting(fail_at=2))
    again = Counting()
    manifest = run(tmp_path, map_units=again)

    assert again.seen == [2]
    assert manifest == run(tmp_path, "undisturbed")
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".data.lock", ".undisturbed.lock", "data", "raw", "undisturbed"
    ]  # fmt: skip


def test_mending_one_file_redoes_one_unit(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    path = tmp_path / "raw" / "imu" / "r5.npy"
    good = path.read_bytes()
    path.write_bytes(b"no array")

    with pytest.raises(Problems):
        run(tmp_path)
    path.write_bytes(good)
    again = Counting()
    run(tmp_path, map_units=again)

    assert again.seen == [1]


@pytest.mark.parametrize("damage", ["result", "result bit", "shard", "no shard"])
def test_damaged_units_are_redone(tmp_path: Path, damage: str) -> None:
    write_raw(tmp_path / "raw")
    with pytest.raises(StorageError):
        run(tmp_path, map_units=Counting(fail_at=2))
    result = tmp_path / ".data.units" / "unit-00001.parquet"
    shard = tmp_path / ".data.partial" / "shards" / "shard-00001.tar"

    match damage:
        case "result":
            os.truncate(result, 100)
        case "result bit":
            stored = bytearray(result.read_bytes())
            stored[len(stored) // 2] ^= 1
            result.write_bytes(stored)
        case "shard":
            os.truncate(shard, shard.stat().st_size - 512)
        case _:
            shard.unlink()
    again = Counting()
    manifest = run(tmp_path, map_units=again)

    assert again.seen == [1, 2]
    assert manifest == run(tmp_path, "undisturbed")


def test_another_description_redoes_everything_and_leaves_nothing_of_the_old(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    with pytest.raises(StorageError):
        run(tmp_path, map_units=Counting(fail_at=2))

    again = Counting()
    run(tmp_path, map_units=again, unit_records=6, name="other")
    run(tmp_path, "undisturbed", unit_records=6, name="other")

    assert again.seen == [0, 1]
    assert digest(tmp_path / "data") == digest(tmp_path / "undisturbed")


def _victim(folder: Path, leave: int, report: int) -> None:
    """Ingest, writing a line before and after every unit; each line needs a byte of leave."""

    def tell(line: str) -> None:
        os.read(leave, 1)
        os.write(report, f"{line}\n".encode())

    def count(write: UnitWriter, units: Iterable[Unit]) -> Iterator[int]:
        for unit in units:
            tell(f"begin {unit.number}")
            done = write(unit)
            tell(f"end {unit.number}")
            yield done

    run(folder, map_units=count)


def _kill_after(num_lines: int, folder: Path) -> list[list[str]]:
    """Lines of an ingest that is killed anywhere between its line `num_lines` and the next."""
    (leave, give), (reading, report) = os.pipe(), os.pipe()
    victim = get_context("fork").Process(target=_victim, args=(folder, leave, report))
    victim.start()
    os.close(report)
    os.write(give, b"." * num_lines)
    with os.fdopen(reading) as lines:
        seen = [lines.readline().split() for _ in range(num_lines)]
        victim.kill()
        assert lines.read() == ""
    victim.join()
    os.close(leave)
    os.close(give)
    return seen


def test_killed_at_random_moments_it_ends_the_same_and_redoes_no_finished_unit(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", num_records=60)
    generator, finished = np.random.default_rng(0), set[str]()

    for _ in range(6):
        seen = _kill_after(int(generator.integers(1, 6)), tmp_path)
        assert not finished & {unit for word, unit in seen if word == "begin"}
        finished |= {unit for word, unit in seen if word == "end"}
    again = Counting()
    manifest = run(tmp_path, map_units=again)

    assert len(finished) >= 4
    assert not finished & {str(number) for number in again.seen}
    assert manifest == run(tmp_path, "undisturbed")
    assert digest(tmp_path / "data") == digest(tmp_path / "undisturbed")
    verify_dataset(tmp_path / "data", manifest)


def test_two_ingests_of_one_data_set_do_not_meet(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")

    def second(write: UnitWriter, units: Iterable[Unit]) -> Iterator[int]:
        with pytest.raises(OutputError) as busy:
            run(tmp_path)
        assert busy.value.code == "OUT_BUSY"
        yield from map(write, units)

    run(tmp_path, map_units=second)


def test_a_worker_that_outlives_its_ingest_keeps_others_out(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw")
    with pytest.raises(StorageError):
        run(tmp_path, map_units=Counting(fail_at=0))

    with Stage(tmp_path / ".data.partial", tmp_path / ".data.units").writing(), pytest.raises(OutputError) as busy:
        run(tmp_path)

    assert busy.value.code == "OUT_BUSY"
    assert run(tmp_path).num_samples == 12


@given(num_records=st.integers(1, 300), unit_records=st.integers(1, 50), windowed=st.booleans())
def test_units_cover_all_records_in_order(num_records: int, unit_records: int, windowed: bool) -> None:
    window = {"length_s": 1, "stride_s": 1} if windowed else None
    records = [Record(n, f"r{n}", {"imu": f"{n}.npy", "note": ""}) for n in range(num_records)]

    for size in (None, unit_records):
        units = plan_units(describe(unit_records=size, window=window), records, Path("nowhere"), decision="d")

        assert [unit.number for unit in units] == list(range(len(units)))
        assert [record for unit in units for record in unit.records] == records
        assert len({unit.sha256 for unit in units}) == len(units)
        if size is None:
            smallest, largest = (8, 256) if windowed else (128, 4096)
            assert all(smallest <= len(unit.records) <= largest for unit in units[:-1])


def test_the_report_of_a_quarantine_is_the_same_from_processes(tmp_path: Path) -> None:
    write_raw(tmp_path / "raw", num_records=30)
    (tmp_path / "raw" / "imu" / "r17.npy").unlink()

    run(tmp_path, "one", policy="quarantine")
    run(tmp_path, "two", policy="quarantine", map_units=processes(2))

    assert digest(tmp_path / "one") == digest(tmp_path / "two")
    assert [p["key"] for p in json.loads((tmp_path / "one" / "quarantine.json").read_text())] == ["r17"]
