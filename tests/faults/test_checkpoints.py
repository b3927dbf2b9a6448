"""Checkpoints that are damaged, mixed, incomplete or written by two processes."""

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch
import torch.multiprocessing as mp
from safetensors.torch import save
from torch import Tensor

from pipeline.data.ledger import LEDGER_NAME
from pipeline.digest import sha256
from pipeline.errors import CheckpointError, KindredError
from pipeline.train.checkpoint import Checkpoint, write_checkpoint
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit
from pipeline.train.loop import run_fit
from pipeline.train.optim import build_optimizer
from pipeline.train.state import TrainState
from tests.faults.checkpoint_crash import parts
from tests.pipeline.train import test_loop, test_loop_memory
from tests.wait_for import wait_for

Parts = dict[str, dict[str, Tensor]]
needs_strace = pytest.mark.skipif(shutil.which("strace") is None, reason="strace is not installed")


def crash_matrix(*options: str) -> str:
    """What the matrix printed; "" where nothing was bad."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.faults.checkpoint_crash", *options],
        cwd=Path(__file__).parents[2],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout + done.stderr if done.returncode or " 0 bad." not in done.stdout else ""


@needs_strace
@pytest.mark.fault("C01", "C03", "C07", "C13")
def test_a_save_killed_refused_or_stopped_at_a_rename_or_removal_leaves_whole_checkpoints() -> None:
    assert crash_matrix("--calls", "rename", "rmdir", "--faults", "kill", "EIO", "stop") == ""


@needs_strace
@pytest.mark.slow
@pytest.mark.fault("C01", "C03", "C04", "C07", "C13")
def test_a_save_disturbed_at_any_system_call_leaves_whole_checkpoints() -> None:
    assert crash_matrix() == ""


@pytest.mark.fault("C05")
def test_each_of_1000_damages_is_found_and_the_previous_checkpoint_used(store: CheckpointStore) -> None:
    rng = np.random.default_rng(0)
    files = sorted((store.folder / "step-00000002").iterdir())
    contents = {path: path.read_bytes() for path in files}
    for number in range(1000):
        path = files[number % len(files)]
        if number % 10 == 9:
            path.unlink()
        else:
            damaged = bytearray(contents[path])
            damaged[rng.integers(len(damaged))] ^= 1 << int(rng.integers(8))
            cut = int(rng.integers(len(damaged)))
            path.write_bytes(damaged if number % 10 < 8 else contents[path][:cut])
        found = store.newest()
        path.write_bytes(contents[path])

        assert found is not None
        assert found.step == 1
        assert found.part("model")["weight"].equal(parts(1)[0][1]["weight"])
    newest = store.newest()
    assert newest is not None
    assert newest.step == 2


@pytest.mark.fault("C05")
def test_without_a_valid_checkpoint_training_does_not_start_anew(tmp_path: Path) -> None:
    run_fit(test_loop.make_fit(tmp_path))
    for number, manifest in enumerate(tmp_path.glob("step-*/MANIFEST.json")):
        manifest.write_bytes(manifest.read_bytes()[: -1 - number])

    with pytest.raises(CheckpointError) as caught:
        run_fit(test_loop.make_fit(tmp_path))
    assert (caught.value.code, caught.value.exit_code) == ("CKPT_NONE_VALID", 66)


@pytest.mark.fault("C06")
@pytest.mark.parametrize("mixed", ["MANIFEST.json", "model.safetensors", "optimizer.safetensors", "swapped", "folder"])
def test_a_mixed_checkpoint_is_refused_and_the_previous_one_used(store: CheckpointStore, mixed: str) -> None:
    first, second = (store.folder / f"step-{step:08d}" for step in (1, 2))
    if mixed == "folder":
        shutil.rmtree(second)
        shutil.copytree(first, second)
    elif mixed == "swapped":
        model, optimizer = second / "model.safetensors", second / "optimizer.safetensors"
        payload = model.read_bytes()
        model.write_bytes(optimizer.read_bytes())
        optimizer.write_bytes(payload)
    else:
        shutil.copyfile(first / mixed, second / mixed)

    found = store.newest()

    assert found is not None
    assert found.path == first
    with pytest.raises(CheckpointError) as caught:
        store.read(2)
    assert caught.value.code == ("CKPT_MIXED" if mixed == "folder" else "CKPT_DAMAGED")


@pytest.mark.fault("C06")
def test_a_checkpoint_of_another_run_is_refused(tmp_path: Path) -> None:
    run_fit(replace(test_loop.make_fit(tmp_path / "other"), identity={"seed": 1, "batch_size": 8}))
    shutil.copytree(tmp_path / "other", tmp_path / "own")

    with pytest.raises(CheckpointError, match="CKPT_MIXED") as caught:
        run_fit(replace(test_loop.make_fit(tmp_path / "own"), identity={"seed": 2, "batch_size": 8}))
    assert (caught.value.field, caught.value.exit_code) == ("seed", 66)


def test_pruning_keeps_the_last_valid_checkpoints_whatever_damaged_ones_are_newer(store: CheckpointStore) -> None:
    store.save(5, parts(5), {"step": 5})
    for step in (2, 5):
        (store.folder / f"step-{step:08d}" / "model.safetensors").write_bytes(b"")
    shutil.copytree(store.folder / "step-00000005", store.folder / "step-00000006")

    for step in (3, 4):
        store.save(step, parts(step), {"step": step})

    assert store.steps() == [3, 4, 5, 6]
    newest = store.newest()
    assert newest is not None
    assert newest.step == 4


def _fit(folder: Path) -> Fit:
    """A run that has everything a checkpoint can hold."""
    fit = test_loop_memory.make_fit(folder / "checkpoints")
    config = fit.config.model_copy(update={"ema_decay": 0.9})
    return replace(fit, config=config, ledger=folder / LEDGER_NAME, identity={"seed": 0})


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Checkpoint, Parts]:
    """Folder of a finished run, and its newest checkpoint with its tensors."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("trained")
    run_fit(_fit(folder))
    newest = CheckpointStore(folder / "checkpoints").newest()
    assert newest is not None
    return folder, newest, {name: newest.part(name) for name in newest.files}


def _without(whole: Checkpoint, tensors: Parts) -> Iterator[tuple[str, Checkpoint]]:
    """The checkpoint without each of its files, then without each tensor of each file."""
    for part in tensors:
        yield part, replace(whole, files={name: digest for name, digest in whole.files.items() if name != part})
    for part, own in tensors.items():
        path = whole.path / f"{part}.safetensors"
        content = path.read_bytes()
        for left in own:
            fewer = save({name: tensor for name, tensor in own.items() if name != left})
            path.write_bytes(fewer)
            yield f"{part}/{left}", replace(whole, files=whole.files | {part: sha256(fewer)})
        path.write_bytes(content)


@pytest.mark.fault("C15")
def test_no_file_and_no_tensor_of_a_checkpoint_can_be_missed(trained: tuple[Path, Checkpoint, Parts]) -> None:
    folder, whole, tensors = trained
    fit = _fit(folder)
    state = TrainState(fit.task, build_optimizer(fit.groups), ema_decay=0.9)

    found: dict[str, CheckpointError | None] = {}
    for name, checkpoint in _without(whole, tensors):
        try:
            state.restore(checkpoint)
            found[name] = None
        except CheckpointError as error:
            found[name] = error

    assert {"average", "model", "optimizer", "memory", "memory_queue_0", "memory_momentum"} < tensors.keys()
    assert [name for name, error in found.items() if error is None or not error.field] == []
    for name in tensors:
        error = found[name]
        assert error is not None
        assert (error.code, error.field, error.exit_code) == ("CKPT_MISSING", name, 66)


@pytest.mark.fault("C15")
@pytest.mark.parametrize(
    "left", ["position", "position.step", "position.epoch", "position.epoch_step", "identity", "ledger"]
)
def test_no_entry_of_the_state_can_be_missed(
    trained: tuple[Path, Checkpoint, Parts], tmp_path: Path, left: str
) -> None:
    folder, whole, tensors = trained
    name, _, inner = left.partition(".")
    state = {key: dict(value) if isinstance(value, dict) else value for key, value in whole.state.items()}
    removed = state[name].pop(inner) if inner else state.pop(name)  # type: ignore[union-attr]
    rewritten = tmp_path / "checkpoints" / whole.path.name
    rewritten.mkdir(parents=True)
    write_checkpoint(rewritten, whole.step, tensors.items(), state, attempt=1)
    shutil.copyfile(folder / LEDGER_NAME, tmp_path / LEDGER_NAME)

    with pytest.raises(CheckpointError) as caught:
        run_fit(_fit(tmp_path))

    assert removed is not None
    assert caught.value.code == "CKPT_MISSING"
    assert str(caught.value.field).startswith(left)


def _old_attempt(folder: str) -> None:
    def stop_once(step: int, total: int, metrics: dict[str, float]) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGSTOP)

    torch.set_num_threads(1)
    try:
        run_fit(replace(_fit(Path(folder)), on_step=stop_once))
    except KindredError as error:
        sys.exit(error.exit_code)


@pytest.mark.slow
@pytest.mark.fault("C13")
def test_an_attempt_that_was_stopped_and_replaced_ends_with_75_and_changes_nothing(
    trained: tuple[Path, Checkpoint, Parts], tmp_path: Path
) -> None:
    old = mp.get_context("spawn").Process(target=_old_attempt, args=(str(tmp_path),))
    old.start()
    process = psutil.Process(old.pid)
    wait_for(lambda: process.status() == psutil.STATUS_STOPPED, seconds=120)
    run_fit(_fit(tmp_path))
    before = _files(tmp_path)

    process.send_signal(signal.SIGCONT)
    old.join(120)

    assert old.exitcode == 75
    assert _files(tmp_path) == before
    assert (tmp_path / LEDGER_NAME).read_bytes() == (trained[0] / LEDGER_NAME).read_bytes()
    newest = CheckpointStore(tmp_path / "checkpoints").newest()
    assert newest is not None
    assert newest.files == trained[1].files


def _files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
