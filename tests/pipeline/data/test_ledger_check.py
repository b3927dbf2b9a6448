"""Checking a ledger finds every change, names its place, and proves exactly once per epoch."""

import hashlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pipeline.data.group_batches import GroupBatches
from pipeline.data.ledger import Ledger, LedgerHeader, read_header, read_records
from pipeline.data.ledger_check import Committed, LedgerReport, check_ledger
from pipeline.data.order_config import GroupOrder
from pipeline.data.plan import Order, Plan
from pipeline.types import Cursor

HEADER = LedgerHeader(samples=5, identity=hashlib.sha256(b"a run").digest())
PLAN = Plan(np.arange(0, 69, 3), batch_size=5, seed=0)
STEPS = 10


def _write(path: Path, batches: list[tuple[Cursor, np.ndarray]]) -> Committed:
    ledger = Ledger(path, HEADER)
    for cursor, idx in batches:
        ledger.append(cursor, idx)
    ledger.finish()
    ledger.close()
    return Committed(ledger.records, ledger.sha256)


def _planned(order: Order, steps: int) -> list[tuple[Cursor, np.ndarray]]:
    cursors = [Cursor(*divmod(number, order.steps_per_epoch)) for number in range(steps)]
    return [(cursor, order.batch(cursor.epoch, cursor.step)) for cursor in cursors]


def _check(path: Path, committed: Committed, order: Order = PLAN) -> LedgerReport:
    with path.open("rb") as file:
        return check_ledger(read_records(file, read_header(file)), order, committed)


@pytest.mark.parametrize("last", ["drop", "pad"])
@pytest.mark.parametrize("steps", [0, 1, 4, 5, 12, 15])
def test_a_run_as_planned_is_proved(tmp_path: Path, last: str, steps: int) -> None:
    plan = Plan(np.arange(0, 69, 3), batch_size=5, seed=0, last=last)  # type: ignore[arg-type]
    committed = _write(tmp_path / "ledger.bin", _planned(plan, steps))

    report = _check(tmp_path / "ledger.bin", committed, plan)

    epochs = steps // plan.steps_per_epoch
    assert report == LedgerReport(
        steps=steps,
        samples=5 * steps,
        epochs=epochs,
        left_over=epochs * (3 if last == "drop" else -2),
        sha256=committed.sha256 if steps else "",
    )


def test_other_plans_are_compared_with_the_plan_alone(tmp_path: Path) -> None:
    header = LedgerHeader(4, HEADER.identity)
    order = GroupOrder(column="subject", samples_per_group=2, steps_per_epoch=3)
    plan = GroupBatches(np.arange(12), np.repeat(list("abc"), 4), batch_size=4, seed=0, order=order)
    ledger = Ledger(tmp_path / "ledger.bin", header)
    for cursor, idx in _planned(plan, 7):
        ledger.append(cursor, idx)
    ledger.close()

    report = _check(tmp_path / "ledger.bin", Committed(7, ledger.sha256), plan)

    assert (report.errors, report.steps, report.epochs, report.missing) == ([], 7, 2, 0)


def test_a_sample_in_place_of_another_is_named_and_counted(tmp_path: Path) -> None:
    batches = _planned(PLAN, STEPS)
    first, second = batches[5][1], batches[6][1]
    lost, twice = int(first[3]), int(second[0])
    first[3] = twice
    report = _check(tmp_path / "ledger.bin", _write(tmp_path / "ledger.bin", batches))

    order, once = report.errors
    assert (order.code, order.field) == ("LEDGER_ORDER", "epoch 1 step 1 sample 3")
    assert order.expected == {"epoch": 1, "step": 1, "idx": lost}
    assert order.got == {"epoch": 1, "step": 1, "idx": twice}
    assert (once.code, once.field) == ("LEDGER_ONCE", "epoch 1")
    assert (report.missing, report.repeated, report.out_of_order) == (1, 1, 1)


def test_foreign_samples_are_counted(tmp_path: Path) -> None:
    batches = _planned(PLAN, 4)
    batches[2][1][0] = 1
    report = _check(tmp_path / "ledger.bin", _write(tmp_path / "ledger.bin", batches))

    assert "1 of another split or data set" in str(report.errors[-1])


def test_a_lost_a_repeated_and_a_swapped_step_are_out_of_order(tmp_path: Path) -> None:
    whole = _planned(PLAN, STEPS)
    for number, batches in enumerate(
        (whole[:3] + whole[4:], [*whole[:3], whole[2], *whole[3:]], [whole[1], whole[0], *whole[2:]])
    ):
        path = tmp_path / f"{number}.bin"
        report = _check(path, _write(path, batches))

        assert report.out_of_order > 0
        assert {error.code for error in report.errors} >= {"LEDGER_ORDER"}


@settings(derandomize=True, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.integers(64, 64 + STEPS * 88 - 1), st.integers(0, 7))
def test_every_flipped_bit_is_found_and_its_step_named(tmp_path: Path, position: int, bit: int) -> None:
    committed = _write(tmp_path / "ledger.bin", _planned(PLAN, STEPS))
    payload = bytearray((tmp_path / "ledger.bin").read_bytes())
    payload[position] ^= 1 << bit
    (tmp_path / "ledger.bin").write_bytes(payload)
    epoch, step = divmod((position - 64) // 88, PLAN.steps_per_epoch)

    report = _check(tmp_path / "ledger.bin", committed)

    assert report.errors[0].code == "LEDGER_DAMAGED"
    assert report.errors[0].field is not None
    assert report.errors[0].field.startswith(f"epoch {epoch} step {step} ")


def test_a_cut_ledger_and_one_written_anew_are_noticed(tmp_path: Path) -> None:
    path = tmp_path / "ledger.bin"
    committed = _write(path, _planned(PLAN, STEPS))
    whole = path.read_bytes()

    path.write_bytes(whole[: 64 + 88 * 7 + 10])
    (cut,) = _check(path, committed).errors
    path.write_bytes(whole)
    (anew,) = _check(path, Committed(STEPS, "00" * 32)).errors

    assert (cut.code, cut.field, cut.got) == ("LEDGER_TRUNCATED", "epoch 1 step 3", 7)
    assert anew.code == "LEDGER_DAMAGED"


def test_what_a_killed_run_left_after_its_checkpoint_is_no_error(tmp_path: Path) -> None:
    path = tmp_path / "ledger.bin"
    committed = _write(path, _planned(PLAN, 6))
    _write(path, _planned(PLAN, 8))
    with path.open("ab") as file:
        file.write(b"\0" * 100)

    report = _check(path, committed)

    assert (report.errors, report.steps) == ([], 8)
