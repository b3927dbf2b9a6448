"""60 steps end in the same bits however they are made: by 1, 2 or 4 workers, killed at any step, by changing groups.

The run has everything that a checkpoint can hold. What is compared is the state hash, the ledger, and the hash of every
file of the last checkpoint.
"""

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TypeAlias

import pytest
import torch

from pipeline.data.ledger import LEDGER_NAME
from pipeline.digest import canonical_json
from pipeline.errors import Preempted
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit
from pipeline.train.loop import run_fit
from pipeline.worker import GroupWorker, SingleWorker, Worker
from tests.pipeline.train import test_loop_memory
from tests.ranks import run_ranks

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]
STEPS = 60
Outcome: TypeAlias = dict[str, str]


def make_fit(folder: Path, worker: Worker, *, every: int = 7) -> Fit:
    fit = test_loop_memory.make_fit(folder / "checkpoints", worker)
    epochs = STEPS // fit.order.steps_per_epoch
    config = fit.config.model_copy(update={"epochs": epochs, "ema_decay": 0.9, "checkpoint_every": every})
    store = CheckpointStore(folder / "checkpoints")
    return replace(fit, config=config, store=store, ledger=folder / LEDGER_NAME, identity={"seed": 0})


def train(folder: Path, worker: Worker, *, steps: int | None = None) -> Outcome:
    """Go on to the end; or for this many steps, {} then."""
    folder.mkdir(exist_ok=True)
    calls = iter(range(STEPS + 1))
    fit = replace(make_fit(folder, worker), stop=lambda: next(calls) == steps)
    try:
        state_hash = run_fit(fit).state_hash
    except Preempted:
        return {}
    newest = CheckpointStore(folder / "checkpoints").newest()
    assert newest is not None
    ledger = hashlib.sha256((folder / LEDGER_NAME).read_bytes()).hexdigest()
    return {"state": state_hash, "ledger": ledger, **newest.files}


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of one worker's undisturbed run, with a copy of the checkpoint of every step in `kept`."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("kept")

    def keep(step: int) -> None:
        if step:
            name = f"step-{step:08d}"
            shutil.copytree(folder / "checkpoints" / name, folder / "kept" / name)

    run_fit(replace(make_fit(folder, SingleWorker(), every=1), before_step=keep))
    keep(STEPS)
    return folder


@pytest.fixture(scope="module")
def alone(kept: Path) -> Outcome:
    """How that run ended."""
    return train(kept, SingleWorker())


def _on_rank(rank: int, folder: str, script: Callable[[int, Path], dict[str, Outcome]]) -> None:
    torch.set_num_threads(1)
    found = script(rank, Path(folder))
    Path(folder, f"found-{rank}.json").write_text(json.dumps(found))


def spawn(
    folder: Path, script: Callable[[int, Path], dict[str, Outcome]], *, processes: int
) -> list[dict[str, Outcome]]:
    """What the script finds on each rank, by name."""
    run_ranks(_on_rank, str(folder), script, world=processes)
    return [json.loads((folder / f"found-{rank}.json").read_text()) for rank in range(processes)]


class Groups:
    """Worker groups of changing size among processes that stay: each is a new group, as after a restart."""

    def __init__(self, rank: int, folder: Path) -> None:
        self.rank, self.folder, self.made = rank, folder, 0

    def train(self, world: int, run: Path, *, steps: int | None = None) -> Outcome:
        """Go on with the first `world` processes; {} for the others."""
        self.made += 1
        if self.rank >= world:
            return {}
        meeting = f"file://{self.folder}/meeting-{self.made}"
        torch.distributed.init_process_group("gloo", init_method=meeting, rank=self.rank, world_size=world)
        try:
            return train(run, GroupWorker(), steps=steps)
        finally:
            torch.distributed.destroy_process_group()


def _worlds(rank: int, folder: Path) -> dict[str, Outcome]:
    groups = Groups(rank, folder)
    return {str(world): groups.train(world, folder / f"run-{world}") for world in (1, 2, 4)}


def test_one_two_and_four_workers_end_in_the_same_bits(tmp_path: Path, alone: Outcome) -> None:
    found = spawn(tmp_path, _worlds, processes=4)

    assert {"state", "ledger", "average", "model", "optimizer", "memory", "memory_momentum"} < alone.keys()
    for world in (1, 2, 4):
        assert [found[rank][str(world)] for rank in range(world)] == [alone] * world


def _changing_at_every_step(rank: int, folder: Path) -> dict[str, Outcome]:
    """2 workers for one step, 1 for the next, 2 again, to the end."""
    groups, found = Groups(rank, folder), dict[str, Outcome]()
    for step in range(STEPS + 1):
        found["changing"] = groups.train(2 - step % 2, folder / "run", steps=1)
    return found


def test_workers_that_change_at_every_step_end_in_the_same_bits(tmp_path: Path, alone: Outcome) -> None:
    assert spawn(tmp_path, _changing_at_every_step, processes=2)[0] == {"changing": alone}


def _every_step_from_its_checkpoint(rank: int, folder: Path) -> dict[str, Outcome]:
    """From the checkpoint of each step, one step by 1 and by 2 workers: what the next checkpoint holds."""
    groups, found = Groups(rank, folder), dict[str, Outcome]()
    source = Path((folder / "kept").read_text())
    for step in range(1, STEPS):
        for world in (1, 2):
            run = folder / f"run-{step}-{world}"
            if rank == 0:
                _start_at(source, step, run)
            groups.train(world, run, steps=1)
            if rank == 0:
                found[f"{step}-{world}"] = _checkpoint(run / "checkpoints", step + 1)
                shutil.rmtree(run)
    return found


def _start_at(source: Path, step: int, folder: Path) -> None:
    """A run folder as it was after `step`; the ledger goes on, and the next step has to be the one in it."""
    name = f"step-{step:08d}"
    shutil.copytree(source / "kept" / name, folder / "checkpoints" / name)
    shutil.copyfile(source / LEDGER_NAME, folder / LEDGER_NAME)


def _checkpoint(folder: Path, step: int) -> Outcome:
    found = CheckpointStore(folder).read(step)
    return {**found.files, "state": canonical_json(found.state).decode()}


def test_each_step_is_the_same_after_a_resume_with_one_or_two_workers(tmp_path: Path, kept: Path) -> None:
    """So every schedule of 1 and 2 workers, however often it changes or is killed, goes through the same states."""
    (tmp_path / "kept").write_text(str(kept))

    found = spawn(tmp_path, _every_step_from_its_checkpoint, processes=2)[0]

    expected = {f"{step}-{world}": _checkpoint(kept / "kept", step + 1) for step in range(1, STEPS) for world in (1, 2)}
    assert [name for name, outcome in expected.items() if found[name] != outcome] == []
