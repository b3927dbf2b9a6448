import dataclasses
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.errors import StorageError
from pipeline.tracking import MemoryRun, Record, Run, Spool, history, read_spool

WRITER = """
import sys
from pathlib import Path
from pipeline.tracking import Spool
spool = Spool(Path(sys.argv[1]), prefix="pretrain/")
for step in range(int(sys.argv[2])):
    spool.metrics({"loss": float(step)}, step)
    print(step, flush=True)
"""


def positions(path: Path) -> list[int]:
    """Where each line of a file starts."""
    lines = path.read_bytes().splitlines(keepends=True)
    return [sum(map(len, lines[:number])) for number in range(len(lines))]


def test_records_come_back_as_they_were_logged(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "tracking" / "probe.jsonl", prefix="probe/", clock=iter([100, 101, 102, 103]).__next__)
    spool.params({"epochs": 3, "name": "α"})
    spool.metrics({"loss/intra": 0.5}, 7)
    spool.artifact(tmp_path / "figures" / "loss.png", "figures/loss.png")
    spool.status("KILLED", "SIGTERM")

    records, offset = read_spool(spool.path)

    assert [dataclasses.replace(record, seq=0) for record in records] == [
        Record(0, 100, "params", {"epochs": 3, "name": "α"}),
        Record(0, 101, "metrics", {"probe/loss/intra": 0.5}, 7),
        Record(0, 102, "artifact", {"path": "../figures/loss.png", "name": "figures/loss.png"}),
        Record(0, 103, "status", {"status": "KILLED", "reason": "SIGTERM"}),
    ]
    assert offset == spool.path.stat().st_size


@given(values=st.dictionaries(st.text(), st.floats(), min_size=1), step=st.integers(0, 2**53))
def test_any_name_and_any_float_survive_as_strict_json(
    tmp_path_factory: pytest.TempPathFactory, values: dict[str, float], step: int
) -> None:
    spool = Spool(tmp_path_factory.mktemp("spool") / "s.jsonl")
    spool.metrics(values, step)

    (record,), _ = read_spool(spool.path)

    json.loads(spool.path.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))
    assert record.step == step
    assert {name: repr(value) for name, value in record.floats().items()} == {n: repr(v) for n, v in values.items()}


def test_a_killed_writer_loses_nothing_that_it_had_logged(tmp_path: Path) -> None:
    path = tmp_path / "pretrain.jsonl"
    command = [sys.executable, "-c", WRITER, str(path), "1000000"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        while int(writer.stdout.readline()) < 200:
            pass
        os.kill(writer.pid, signal.SIGKILL)
        logged = [int(line) for line in writer.stdout.read().split("\n")[:-1]]

    records, _ = read_spool(path)

    assert [record.step for record in records] == list(range(len(records)))
    assert [record.seq for record in records] == positions(path)
    assert len(records) >= max([200, *logged])


@pytest.mark.parametrize("cut", range(1, 40))
def test_a_torn_line_costs_only_itself(tmp_path: Path, cut: int, caplog: pytest.LogCaptureFixture) -> None:
    spool = Spool(tmp_path / "s.jsonl")
    for step in range(3):
        spool.metrics({"loss": 1.0}, step)
    payload = spool.path.read_bytes()
    spool.path.write_bytes(payload[:-cut])

    before, offset = read_spool(spool.path)
    Spool(spool.path).metrics({"loss": 2.0}, 9)
    after, _ = read_spool(spool.path)
    resumed, _ = read_spool(spool.path, offset)

    assert [record.step for record in before] == [0, 1]
    assert [record.step for record in after] == [0, 1, 9] if cut > 1 else [0, 1, 2, 9]
    assert [record.step for record in resumed] == [record.step for record in after[2:]]
    assert {record.seq for record in after} <= set(positions(spool.path))
    assert ("torn" in caplog.text) == (cut > 1)


def test_reading_in_pieces_gives_every_record_once(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.jsonl")
    for step in range(50):
        spool.metrics({"x" * (step % 7): 1.0}, step)
    for size in (1, 60, 61, 100, 5000):
        found, offset = [], 0
        while True:
            records, end = read_spool(spool.path, offset, max_bytes=size)
            if end == offset:
                break
            found, offset = found + records, end

        assert [record.step for record in found] == list(range(50))


@pytest.mark.parametrize(
    "line", ["[]", "3", "{}", '{"seq":1,"ms":2,"step":0,"kind":"shell","values":{}}', '{"seq":"1","kind":"metrics"}']
)
def test_a_foreign_line_is_skipped(tmp_path: Path, line: str) -> None:
    path = tmp_path / "s.jsonl"
    path.write_text(line + "\n")

    assert read_spool(path) == ([], len(line) + 1)


def test_writers_of_one_file_keep_out_of_each_others_lines(tmp_path: Path) -> None:
    path = tmp_path / "pretrain.jsonl"
    command = [sys.executable, "-c", WRITER, str(path), "400"]
    writers = [subprocess.Popen(command, stdout=subprocess.DEVNULL) for _ in "ab"]
    for writer in writers:
        assert writer.wait() == 0

    records, _ = read_spool(path)

    assert sorted(record.step for record in records) == sorted([*range(400), *range(400)])
    assert [record.seq for record in records] == positions(path)


def test_history_keeps_one_point_per_step_and_the_later_attempt_wins(tmp_path: Path) -> None:
    spool = Spool(tmp_path / "s.jsonl")
    for step, value in [(1, 1.0), (2, 2.0), (3, 3.0), (2, 2.5), (3, 3.5), (4, 4.0)]:
        spool.metrics({"loss": value}, step)
    spool.tags({"loss": "not a point"})

    assert history(read_spool(spool.path)[0]) == {"loss": [(1, 1.0), (2, 2.5), (3, 3.5), (4, 4.0)]}


def test_a_full_disk_is_a_storage_error() -> None:
    spool = Spool(Path("/dev/full"))

    with pytest.raises(StorageError, match="IO_TRACKING"):
        spool.metrics({"a": 1.0}, 0)


def test_memory_run_is_a_run(tmp_path: Path) -> None:
    run: Run = (memory := MemoryRun())
    run.metrics({"loss": 1.0}, 5)
    run.artifact(tmp_path / "a.png", "a.png")

    assert memory.logged == [(5, {"loss": 1.0})]
    assert memory.files == {"a.png": tmp_path / "a.png"}
