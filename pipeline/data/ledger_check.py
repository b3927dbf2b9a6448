"""A ledger against the plan it must follow, in bounded memory."""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np

from pipeline.data.ledger import LedgerRecord
from pipeline.data.plan import Order, Plan
from pipeline.errors import DataError
from pipeline.types import Cursor

_MAX_ERRORS = 20
_FIX = "do not trust the results of this run: it did not see the data that its recipe names"


@dataclass(frozen=True)
class Committed:
    """Steps that a finished run or its newest checkpoint vouches for, and the chain value after the last of them."""

    records: int
    sha256: str


@dataclass
class LedgerReport:
    """What a ledger says.

    missing, repeated: samples against exactly once per epoch, counted for a plain plan only. left_over: samples that
    the plan itself drops from whole epochs; negative where it pads. out_of_order: steps that are not the planned ones.
    """

    steps: int = 0
    samples: int = 0
    epochs: int = 0
    missing: int = 0
    repeated: int = 0
    left_over: int = 0
    out_of_order: int = 0
    sha256: str = ""
    errors: list[DataError] = field(default_factory=list)


def check_ledger(records: Iterable[LedgerRecord], order: Order, committed: Committed) -> LedgerReport:
    """Compare every step with the plan; for a `Plan`, count each epoch's samples from the ledger alone as well.

    A damaged record after the committed ones is what a killed run leaves: it ends the check without an error.
    """
    report, expected = LedgerReport(), Cursor(0, 0)
    epoch = _Epoch(order) if isinstance(order, Plan) else None
    for record in records:
        if not record.intact and report.steps >= committed.records:
            break
        _compare(record, expected, order, report)
        if not record.intact:
            break
        report.steps, report.samples, report.sha256 = report.steps + 1, report.samples + len(record.idx), record.chain
        if report.steps == committed.records and record.chain != committed.sha256:
            report.errors.append(_rewritten(record, committed))
        if epoch is not None:
            epoch.add(record.idx)
        whole = expected.step + 1 == order.steps_per_epoch
        report.epochs += whole
        if epoch is not None and whole:
            epoch.close(expected.epoch, report)
        expected = expected.after(order.steps_per_epoch)
    if epoch is not None and expected.step:
        epoch.close(expected.epoch, report, whole=False)
    if report.steps < committed.records:
        report.errors.append(_too_short(report, expected, committed))
    return report


def _compare(record: LedgerRecord, expected: Cursor, order: Order, report: LedgerReport) -> None:
    planned = order.batch(expected.epoch, expected.step)
    if record.intact and record.cursor == expected and np.array_equal(record.idx, planned):
        return
    report.out_of_order += 1
    if len(report.errors) >= _MAX_ERRORS:
        return
    place, where = _first_difference(planned, record.idx), f"epoch {expected.epoch} step {expected.step}"
    report.errors.append(
        DataError(
            f"{where} was not trained as planned" if record.intact else f"the ledger is damaged at {where}",
            code="LEDGER_ORDER" if record.intact else "LEDGER_DAMAGED",
            field=f"{where} sample {place}",
            expected={"epoch": expected.epoch, "step": expected.step, "idx": int(planned[place])},
            got={"epoch": record.cursor.epoch, "step": record.cursor.step, "idx": int(record.idx[place])},
            fix=_FIX if record.intact else "restore the file",
        )
    )


def _first_difference(planned: np.ndarray, idx: np.ndarray) -> int:
    differs = planned != idx
    return int(differs.argmax()) if differs.any() else 0


def _rewritten(record: LedgerRecord, committed: Committed) -> DataError:
    return DataError(
        "the ledger is not the one that the run wrote",
        code="LEDGER_DAMAGED",
        field=f"epoch {record.cursor.epoch} step {record.cursor.step}",
        expected=committed.sha256,
        got=record.chain,
        fix="restore the file",
    )


def _too_short(report: LedgerReport, expected: Cursor, committed: Committed) -> DataError:
    return DataError(
        f"the ledger holds {report.steps} whole steps of {committed.records}",
        code="LEDGER_TRUNCATED",
        field=f"epoch {expected.epoch} step {expected.step}",
        expected=committed.records,
        got=report.steps,
        fix="restore the file",
    )


class _Epoch:
    """How often each sample of one epoch was seen: one byte per sample."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.seen = np.zeros(len(plan.rows), np.uint8)
        self.num_foreign = 0

    def add(self, idx: np.ndarray) -> None:
        """Count a batch. A padded batch can hold a sample twice, so equal samples are counted one by one."""
        places = self.plan.rows.find(idx)
        self.num_foreign += int((places < 0).sum())
        places, counts = np.unique(places[places >= 0], return_counts=True)
        self.seen[places] = np.minimum(self.seen[places] + counts, 255)

    def close(self, number: int, report: LedgerReport, *, whole: bool = True) -> None:
        """Add the epoch to the report and begin the next one."""
        padded = self.plan.steps_per_epoch * self.plan.batch_size - len(self.seen) if whole else 0
        present = int(np.count_nonzero(self.seen))
        repeated = int(self.seen.sum(dtype=np.int64)) - present - max(padded, 0)
        missing = len(self.seen) - present - max(-padded, 0) if whole else 0
        report.left_over -= padded
        report.missing += max(missing, 0)
        report.repeated += max(repeated, 0) + self.num_foreign
        if missing > 0 or repeated > 0 or self.num_foreign:
            self._complain(number, max(missing, 0), max(repeated, 0), report)
        self.seen[:], self.num_foreign = 0, 0

    def _complain(self, number: int, missing: int, repeated: int, report: LedgerReport) -> None:
        never, twice = (self.plan.rows.take(np.flatnonzero(which)[:8]) for which in (self.seen == 0, self.seen > 1))
        report.errors.append(
            DataError(
                f"epoch {number}: {missing} samples missing, {repeated} repeated, "
                f"{self.num_foreign} of another split or data set",
                code="LEDGER_ONCE",
                field=f"epoch {number}",
                got={
                    "missing idx": never.tolist() if missing else [],
                    "repeated idx": twice.tolist() if repeated else [],
                },
                fix=_FIX,
            )
        )
