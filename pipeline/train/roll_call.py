"""The roll call before every step: where each worker is, whether one asks to stop, and how long its own part took.

One small gather a step. Workers that have drifted apart are found at the next step, and every one of them raises; one
that holds the others up is known by its time to the first exchange of a step, in which nobody waits for a peer.
"""

import statistics
import time
from collections import deque
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from pipeline.errors import TrainingHealthError
from pipeline.tensor_digest import tensor_digest
from pipeline.types import Cursor
from pipeline.worker import Worker, from_every_rank

FIELDS = ("step", "epoch", "batch", "loss", "gradient", "weights")

ASK_EVERY_S = 5.0
"""How often the surroundings are asked what costs too much to ask at every step."""


class Heard(NamedTuple):
    """stop: a worker asks to. due: it is time to ask the surroundings, on every worker."""

    stop: bool
    due: bool


class RollCall:
    """Of one worker. device: where collectives want their tensors. weights: with which all must begin: those of other
    shapes would break the first exchange."""

    def __init__(self, worker: Worker, device: torch.device, weights: Iterable[Tensor]) -> None:
        self.worker, self.device = worker, device
        self.bits = [0, 0, 0]
        self.note(0.0, 0.0, weights)
        self.seconds = [0.0, 0.0]
        self.heard: deque[Tensor] = deque(maxlen=100)
        self.asked = time.monotonic()

    def note(self, loss: float, gradient: float, weights: Iterable[Tensor]) -> None:
        """What must be the same bits everywhere after the last step; a loss of 0 and no weights where it need not."""
        if self.worker.world > 1:
            numbers = torch.tensor([loss, gradient], dtype=torch.float64).view(torch.int64).tolist()
            self.bits = [*numbers, tensor_digest(weights)]

    def forwarded(self, waited: float, began: float, *, micro_batches: int) -> None:
        """The forward passes have been asked for. waited: seconds for data; began: `perf_counter` at the first one."""
        if self.worker.world == 1:
            return
        if self.device.type == "cuda":
            torch.cuda.current_stream(self.device).synchronize()
        self.seconds = [seconds / micro_batches for seconds in (waited, time.perf_counter() - began)]

    def __call__(self, step: int, cursor: Cursor, *, stop: bool) -> Heard:
        """What all workers hear. Collective. Every worker raises TrainingHealthError where they differ."""
        due = time.monotonic() - self.asked > ASK_EVERY_S
        if self.worker.world > 1:
            micros = [int(1e6 * seconds) for seconds in self.seconds]
            row = torch.tensor([step, cursor.epoch, cursor.step, *self.bits, *micros, stop, due], device=self.device)
            table = from_every_rank(self.worker, row).cpu()
            self._refuse_drift(table[:, : len(FIELDS)], step)
            self.heard.append(table[:, len(FIELDS) : -2])
            stop, due = bool(table[:, -2].any()), bool(table[0, -1])
        if due:
            self.asked = time.monotonic()
        return Heard(stop, due)

    def _refuse_drift(self, said: Tensor, step: int) -> None:
        differs = (said != said[0]).nonzero().tolist()
        if not differs:
            return
        rank, column = differs[0]
        raise TrainingHealthError(
            f"rank {rank} has drifted from rank 0 in its {FIELDS[column]} before step {step}",
            code="RANK_DESYNC",
            field=FIELDS[column],
            expected=int(said[0, column]),
            got={"rank": rank, "value": int(said[rank, column])},
            fix="resume from the last checkpoint on workers of one kind, with the same code and number of threads",
        )

    def slowest(self) -> dict[str, float]:
        """Of the last hundred steps: who took longest per micro-batch until its first exchange, how many times as long
        as the median of the others, and which share of that was waiting for data. Empty for a single worker."""
        if not self.heard:
            return {}
        phases = torch.stack(list(self.heard)).double().median(dim=0).values  # (world, 2)
        total = phases.sum(dim=1)
        rank = int(total.argmax())
        others = statistics.median(total[torch.arange(len(total)) != rank].tolist())
        return {
            "workers/slowest_rank": float(rank),
            "workers/slowest_ratio": float(total[rank]) / max(others, 1.0),
            "workers/slowest_data_share": float(phases[rank, 0]) / max(float(total[rank]), 1.0),
        }
