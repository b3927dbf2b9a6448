"""The run whose checkpoint of each format version is kept in this folder, and how one is written.

    python -m tests.golden.golden_run tests/golden/format-N

writes it, once, when the format gets a new version. What is there stays as it is: every later version must load it, or
say how to migrate.
"""

import json
import shutil
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import torch

from pipeline.train.fit import Fit
from pipeline.train.loop import run_fit
from pipeline.train.optim import build_optimizer
from pipeline.train.state import TrainState
from tests.pipeline.train.test_loop_memory import make_fit

IDENTITY = {"seed": 0, "run": "golden"}
HASH_NAME = "state_hash.json"


def golden_fit(folder: Path) -> Fit:
    """Everything that a checkpoint can hold: weights, average, banks, pseudo-labels, queues, momentum encoder."""
    torch.set_num_threads(1)
    fit = make_fit(folder)
    return replace(fit, config=fit.config.model_copy(update={"ema_decay": 0.9}), identity=IDENTITY)


def restored(fit: Fit) -> TrainState:
    """The state of a run as its newest checkpoint gives it."""
    state = TrainState(fit.task, build_optimizer(fit.groups), ema_decay=0.9)
    checkpoint = fit.store.newest()
    assert checkpoint is not None
    state.restore(checkpoint)
    return state


def write(folder: Path) -> None:
    """A checkpoint in mid-epoch, after the memory has been clustered, with the hash of its state."""
    with tempfile.TemporaryDirectory() as work:
        config = golden_fit(Path(work)).config.model_copy(update={"epochs": 2})
        run_fit(replace(golden_fit(Path(work)), config=config))
        fit = golden_fit(Path(work))
        newest = fit.store.newest()
        assert newest is not None
        shutil.copytree(newest.path, folder / newest.path.name)
        (folder / HASH_NAME).write_text(json.dumps({"sha256": restored(fit).hash(), "step": newest.step}) + "\n")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
