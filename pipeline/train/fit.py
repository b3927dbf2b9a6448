"""What a training is made of, and how it ended."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from pydantic import JsonValue

from pipeline.data.plan import Order
from pipeline.tracking import Run
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit_config import FitConfig
from pipeline.train.task import Task
from pipeline.train.watchdog import Watchdog
from pipeline.types import Batch
from pipeline.worker import Worker


@dataclass(frozen=True)
class Fit:
    """Everything `run_fit` needs. `read` turns sample indices into a micro-batch; `stop` asks for a graceful end.

    `ledger` is the file that records what was trained on; None means none is kept. `watchdog` ends the
    process when a step hangs. `reclaimed`, collective, says that a machine will soon be gone: a checkpoint follows.
    """

    task: Task
    order: Order
    read: Callable[[np.ndarray], Batch]
    config: FitConfig
    worker: Worker
    store: CheckpointStore
    run: Run
    identity: Mapping[str, JsonValue]
    seed: int
    groups: list[dict[str, object]]
    ledger: Path | None = None
    watchdog: Watchdog = field(default_factory=Watchdog)
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    stop: Callable[[], bool] = lambda: False
    reclaimed: Callable[[], bool] = lambda: False
    before_step: Callable[[int], None] = lambda step: None
    on_step: Callable[[int, int, dict[str, float]], None] = lambda step, total, metrics: None
    after_epoch: Callable[[int], bool] = lambda epoch: False


@dataclass(frozen=True)
class FitResult:
    """How a stage ended. bitwise: another run of the same configuration has the same bits."""

    steps: int
    state_hash: str
    bitwise: bool
    samples_per_s: float
    wait_share: float
    checkpoint: str
    ledger_sha256: str | None
