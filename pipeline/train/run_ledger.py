"""The sample ledger of a training run: what its header says, and how a machine that lost it gets it back."""

import hashlib
from collections.abc import Mapping
from pathlib import Path

from pydantic import JsonValue

from pipeline.data.ledger import Ledger, LedgerHeader, open_ledger
from pipeline.data.plan import Order
from pipeline.digest import canonical_json
from pipeline.train.checkpoint import Checkpoint
from pipeline.types import Cursor


def ledger_header(samples: int, identity: Mapping[str, JsonValue]) -> LedgerHeader:
    """Header of the ledger of a run with this identity and this many samples a step."""
    return LedgerHeader(samples, hashlib.sha256(canonical_json(dict(identity))).digest())


def complete_ledger(path: Path, header: LedgerHeader, checkpoint: Checkpoint, order: Order) -> None:
    """Write the steps up to the checkpoint that the file lacks, from the plan.

    The checkpoint holds the hash of all that was trained on, so what is written is what was lost, byte for byte, or a
    CheckpointError. Raises TrainingHealthError where the file holds other steps, and StorageError.
    """
    ledger, cursor = Ledger(path, header), Cursor(epoch=0, step=0)
    try:
        for _ in range(checkpoint.step):
            ledger.append(cursor, order.batch(cursor.epoch, cursor.step))
            cursor = cursor.after(order.steps_per_epoch)
        ledger.commit()
    finally:
        ledger.close()
    open_ledger(path, header, checkpoint.state).close()
