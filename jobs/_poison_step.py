"""A step that ends two attempts in a row is not bad luck: restarting would go on for ever."""

import os
from pathlib import Path

import numpy as np

from pipeline.data.plan import Order
from pipeline.errors import TrainingHealthError

_NAME = "steps-of-attempts"
_SHOWN = 16


class StepsOfAttempts:
    """The step that each attempt of one command was in: 8 bytes an attempt, overwritten as it goes on."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / _NAME
        self._descriptor: int | None = None
        self._offset = 0

    def forget(self) -> None:
        """A new command begins: whoever typed it may have mended the cause."""
        self.path.unlink(missing_ok=True)

    def mark(self, step: int) -> None:
        """The attempt is about to train this step. For rank 0 alone, once every rank has looked at `repeated`."""
        if self._descriptor is None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(self.path, os.O_CREAT | os.O_WRONLY, 0o644)
            self._offset = os.fstat(self._descriptor).st_size
        os.pwrite(self._descriptor, np.int64(step).tobytes(), self._offset)

    def count(self) -> int:
        """Attempts so far that reached a step."""
        return self.path.stat().st_size // np.int64().itemsize if self.path.exists() else 0

    def repeated(self) -> int | None:
        """The step that the last two attempts ended in, if it was the same."""
        if not self.path.exists():
            return None
        steps = np.fromfile(self.path, np.int64)
        return int(steps[-1]) if len(steps) >= 2 and steps[-1] == steps[-2] else None


def refuse_repeated(attempts: StepsOfAttempts, order: Order, keys: np.ndarray | None) -> None:
    """Raises TrainingHealthError POISON_STEP naming samples of the step. keys: of all samples, None for a mixture."""
    step = attempts.repeated()
    if step is None:
        return
    samples = order.batch(*divmod(step, order.steps_per_epoch))
    named = samples[:_SHOWN].tolist() if keys is None else keys[samples[:_SHOWN]].tolist()
    raise TrainingHealthError(
        f"two attempts in a row ended in step {step}",
        code="POISON_STEP",
        field="pretrain",
        got={"step": step, "samples": named, "of": len(samples)},
        fix="hangs/ in the run folder and Ray's logs say what ended the workers (a step that hangs, memory, a crash in "
        "a decoder): mend it, and submit again",
    )
