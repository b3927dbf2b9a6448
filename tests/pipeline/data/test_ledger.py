"""The ledger: appended, resumed, replayed and cut short; the same bytes whatever happened on the way."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.data.ledger import Ledger, LedgerHeader, open_ledger, read_header, read_records
from pipeline.data.plan import Plan
from pipeline.errors import CheckpointError, DataError, StorageError, TrainingHealthError
from pipeline.types import Cursor

HEADER = LedgerHeader(samples=5, identity=hashlib.sha256(b"a run").digest())
PLAN = Plan(np.arange(23), batch_size=5, seed=0)
STEPS = 3 * PLAN.steps_per_epoch


def _train(ledger: Ledger, first: int, last: int) -> None:
    for number in range(first, last):
        cursor = Cursor(*divmod(number, PLAN.steps_per_epoch))
        ledger.append(cursor, PLAN.batch(cursor.epoch, cursor.step))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("ledger") / "ledger.bin"
    ledger = Ledger(path, HEADER)
    _train(ledger, 0, STEPS)
    ledger.finish()
    ledger.close()
    return path.read_bytes()


def test_records_hold_what_was_trained_and_the_format_is_the_documented_one(undisturbed: bytes, tmp_path: Path) -> None:
    (tmp_path / "ledger.bin").write_bytes(undisturbed)
    with (tmp_path / "ledger.bin").open("rb") as file:
        header = read_header(file)
        records = list(read_records(file, header))

    assert header == HEADER
    assert len(records) == STEPS
    assert all(record.intact for record in records)
    for number, record in enumerate(records):
        assert record.cursor == Cursor(*divmod(number, PLAN.steps_per_epoch))
        assert np.array_equal(record.idx, PLAN.batch(record.cursor.epoch, record.cursor.step))
    assert undisturbed[:12] == b"KINDLEDG\x01\0\0\0"
    assert len(undisturbed) == 64 + STEPS * (8 * 7 + 32)
    chain = hashlib.sha256(undisturbed[:64]).digest()
    for start in range(64, len(undisturbed), 88):
        chain = hashlib.sha256(chain + undisturbed[start : start + 56]).digest()
        assert undisturbed[start + 56 : start + 88] == chain


@settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.integers(1, 6), st.integers(0, 6), st.integers(0, 120)), max_size=6))
def test_any_kills_leave_the_same_file(
    undisturbed: bytes, tmp_path: Path, attempts: list[tuple[int, int, int]]
) -> None:
    """An attempt commits some steps, records more, and dies with a torn write of some bytes."""
    path, committed, state = tmp_path / "ledger.bin", 0, None
    path.unlink(missing_ok=True)
    for steps, more, torn in attempts:
        ledger = open_ledger(path, HEADER, state)
        target = min(STEPS, committed + steps)
        _train(ledger, committed, target)
        committed, state = target, {"ledger": ledger.commit()}
        _train(ledger, target, min(STEPS, target + more))
        ledger.close()
        with path.open("ab") as file:
            file.write(b"\0" * torn)
    ledger = open_ledger(path, HEADER, state)
    _train(ledger, committed, STEPS)
    ledger.finish()
    ledger.close()

    assert path.read_bytes() == undisturbed
    assert ledger.sha256 == undisturbed[-32:].hex()


def test_a_replay_that_differs_is_refused_as_often_as_it_is_tried(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path / "ledger.bin", HEADER)
    _train(ledger, 0, 2)
    state = {"ledger": ledger.commit()}
    _train(ledger, 2, 4)
    ledger.close()

    for _ in range(2):
        again = open_ledger(tmp_path / "ledger.bin", HEADER, state)
        with pytest.raises(TrainingHealthError, match=r"LEDGER_REPLAY.*epoch 0 step 2"):
            again.append(Cursor(0, 2), np.arange(5))
        again.close()


def test_ledger_and_checkpoint_must_belong_together(tmp_path: Path) -> None:
    path = tmp_path / "ledger.bin"
    ledger = Ledger(path, HEADER)
    _train(ledger, 0, 4)
    state = {"ledger": ledger.commit()}
    ledger.close()
    whole = path.read_bytes()

    for damage in (whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1]), b"", b"x" + whole[1:]):
        path.write_bytes(damage)
        with pytest.raises(CheckpointError, match="LEDGER_DAMAGED"):
            open_ledger(path, HEADER, state)
    path.write_bytes(whole)
    other = LedgerHeader(5, b"\1" * 32)
    with pytest.raises(CheckpointError, match=f"expected={other.to_bytes().hex()} got={whole[:64].hex()}"):
        open_ledger(path, other, state)
    with pytest.raises(CheckpointError, match="CKPT_MISSING"):
        open_ledger(path, HEADER, {"position": 4})


def test_a_run_that_changed_before_its_first_checkpoint_begins_anew(tmp_path: Path) -> None:
    path, other = tmp_path / "ledger.bin", LedgerHeader(5, b"\1" * 32)
    ledger = Ledger(path, HEADER)
    _train(ledger, 0, 4)
    ledger.close()

    changed = open_ledger(path, other, None)
    assert path.read_bytes() == other.to_bytes()
    _train(changed, 0, 2)
    changed.finish()
    changed.close()

    fresh = Ledger(tmp_path / "fresh.bin", other)
    _train(fresh, 0, 2)
    fresh.close()
    assert path.read_bytes() == (tmp_path / "fresh.bin").read_bytes()


def test_foreign_files_wrong_sizes_and_bad_places_are_refused(tmp_path: Path) -> None:
    (tmp_path / "other.bin").write_bytes(b"KINDLEDG" + b"\xff" * 56)
    with (tmp_path / "other.bin").open("rb") as file, pytest.raises(DataError, match="LEDGER_DAMAGED"):
        read_header(file)
    with pytest.raises(StorageError, match="IO_LEDGER"):
        Ledger(tmp_path / "missing" / "ledger.bin", HEADER)
    ledger = Ledger(tmp_path / "ledger.bin", HEADER)
    with pytest.raises(ValueError, match="4 samples"):
        ledger.append(Cursor(0, 0), np.arange(4))
    ledger.close()
