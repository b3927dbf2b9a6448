"""What is not finite reaches no weight and no checkpoint, on any worker; a rare gradient is skipped and counted."""

import contextlib
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.errors import TrainingHealthError
from pipeline.train.checkpoint import Checkpoint
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit
from pipeline.train.loop import run_fit
from pipeline.train.optim import OptimConfig, parameter_groups
from pipeline.train.rare_events import MOST_IN_A_ROW
from pipeline.types import Batch
from pipeline.worker import GroupWorker
from tests.pipeline.train.test_loop import CONFIG, make_fit
from tests.ranks import run_ranks

WORLD, SAMPLE = 2, 11
EVERY = CONFIG.model_copy(update={"checkpoint_every": 1})


def _reading(fit: Fit, change: Callable[[Tensor], Tensor]) -> Fit:
    """One sample of stream a comes as `change` makes it."""

    def read(indices: np.ndarray) -> Batch:
        batch: Batch = fit.read(indices)
        values = batch.signals["a"].values
        values[batch.idx == SAMPLE] = change(values[batch.idx == SAMPLE])
        return batch

    return replace(fit, read=read)


def _nan(fit: Fit) -> Fit:
    return _reading(fit, lambda values: values * float("nan"))


def _large(fit: Fit) -> Fit:
    return _reading(fit, lambda values: values * 1e20)


def _gradient(fit: Fit, steps: set[int]) -> Fit:
    """At these steps a gradient overflows although the loss is finite."""
    now = [-1]
    weight = next(fit.task.module.parameters())
    weight.register_hook(lambda gradient: gradient * (float("inf") if now[0] in steps else 1.0))
    return replace(fit, before_step=lambda step: now.__setitem__(0, step))


def _once(fit: Fit) -> Fit:
    return _gradient(fit, {4, 6})


def _always(fit: Fit) -> Fit:
    return _gradient(fit, set(range(5, 100)))


def _newest(folder: Path) -> Checkpoint | None:
    return CheckpointStore(folder).newest()


def _is_finite(checkpoint: Checkpoint) -> bool:
    tensors = [tensor for name in checkpoint.files for tensor in checkpoint.part(name).values()]
    return all(bool(tensor.isfinite().all()) for tensor in tensors)


FAULTS = {"nan": _nan, "once": _once, "always": _always}


def _train_rank(rank: int, root: str) -> None:
    """Everything for one pair of processes: starting them takes longer than what they do here."""
    torch.set_num_threads(1)
    for name, fault in FAULTS.items():
        folder = Path(root, name)
        meeting = f"file://{folder}/rendezvous"
        torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=WORLD)
        found: dict[str, object] = {}
        try:
            found["hash"] = run_fit(fault(make_fit(folder / "run", GroupWorker(), EVERY))).state_hash
        except TrainingHealthError as error:
            found = error.record()
        (folder / f"found-{rank}.json").write_text(json.dumps(found))
        torch.distributed.barrier()
        torch.distributed.destroy_process_group()


@pytest.fixture(scope="module")
def ranks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with a folder for each fault: the run of two workers, and how it ended on each."""
    root = tmp_path_factory.mktemp("ranks")
    for name in FAULTS:
        (root / name).mkdir()
    run_ranks(_train_rank, str(root), world=WORLD)
    return root


def _endings(folder: Path) -> list[dict[str, object]]:
    return [json.loads((folder / f"found-{rank}.json").read_text()) for rank in range(WORLD)]


@pytest.mark.fault("N01")
def test_a_nan_stops_every_rank_before_its_step_and_the_same_command_finds_it_again(ranks: Path) -> None:
    found, newest = _endings(ranks / "nan"), _newest(ranks / "nan" / "run")
    with pytest.raises(TrainingHealthError) as again:
        run_fit(_nan(make_fit(ranks / "nan" / "run", config=EVERY)))

    assert found == [again.value.record()] * WORLD
    assert (again.value.code, again.value.exit_code) == ("NONFINITE_LOSS", 76)
    got = again.value.got
    assert isinstance(got, dict)
    assert got["samples"] == [SAMPLE]
    assert {"z/intra/a", "z/intra/b", "z/cross/a", "z/cross/b"} == got["norms"].keys()
    assert all(0 < norm < 1e6 for norm in got["norms"].values())
    assert newest is None if got["step"] == 0 else newest is not None
    if newest is not None:
        assert newest.step == got["step"]
        assert _is_finite(newest)


@pytest.mark.fault("N02")
def test_a_skipped_gradient_is_counted_the_same_on_every_rank_and_after_a_resume(ranks: Path, tmp_path: Path) -> None:
    plain = make_fit(tmp_path / "plain", config=EVERY)
    undisturbed = run_fit(plain).state_hash

    def die(step: int, total: int, metrics: dict[str, float]) -> None:
        if step == 6:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_fit(replace(_once(make_fit(tmp_path / "run", config=EVERY)), on_step=die))
    resumed = _once(make_fit(tmp_path / "run", config=EVERY))
    result = run_fit(resumed)

    assert [found["hash"] for found in _endings(ranks / "once")] == [result.state_hash] * WORLD
    assert result.state_hash != undisturbed
    assert resumed.run.points[-1][1]["counts/skipped_steps"] == 2  # type: ignore[attr-defined]
    assert not any(name.startswith("counts/") for _, values in plain.run.points for name in values)  # type: ignore[attr-defined]
    newest = _newest(tmp_path / "run")
    assert newest is not None
    assert _is_finite(newest)


@pytest.mark.fault("N02")
def test_too_many_skips_in_a_row_end_every_rank_and_leave_a_checkpoint_to_go_on_from(ranks: Path) -> None:
    found, newest = _endings(ranks / "always"), _newest(ranks / "always" / "run")

    assert [error["code"] for error in found] == ["NONFINITE_GRADIENT"] * WORLD
    assert found[0]["got"] == found[1]["got"]
    assert found[0]["got"]["skipped_steps"] == MOST_IN_A_ROW + 1  # type: ignore[index]
    assert TrainingHealthError.exit_code == 76
    assert newest is not None
    assert (newest.step, _is_finite(newest)) == (8, True)
    assert run_fit(make_fit(ranks / "always" / "run", config=EVERY)).steps == 15


@pytest.mark.fault("N02")
@pytest.mark.parametrize("clip_norm", [1.0, None])
@pytest.mark.parametrize("fault", ["learning rate", "sample"])
def test_an_explosion_stays_finite_or_ends_as_a_health_error(
    tmp_path: Path, fault: str, clip_norm: float | None
) -> None:
    rate = 1e3 if fault == "learning rate" else 1e-3
    optim = OptimConfig(learning_rate=rate, clip_norm=clip_norm)
    fit = make_fit(tmp_path, config=EVERY.model_copy(update={"optim": optim, "epochs": 6}))
    fit = replace(fit, groups=parameter_groups(fit.task.module, optim))

    with contextlib.suppress(TrainingHealthError):
        run_fit(_large(fit) if fault == "sample" else fit)

    found = [fit.store.read(step) for step in fit.store.steps()]
    assert found or fault == "sample"
    assert all(_is_finite(checkpoint) for checkpoint in found)


@pytest.mark.fault("N02")
def test_weights_that_are_not_finite_are_never_saved(tmp_path: Path) -> None:
    fit = make_fit(tmp_path, config=EVERY)
    weight = next(fit.task.module.parameters())

    def spoil(step: int) -> None:
        if step == 3:  # behind the back of loss and gradient, as a failing memory would
            fit.task.module.register_buffer("spoiled", torch.tensor([float("inf")]))

    with pytest.raises(TrainingHealthError, match=r"NONFINITE_WEIGHTS.*spoiled.*last checkpoint is finite"):
        run_fit(replace(fit, before_step=spoil))

    newest = _newest(tmp_path)
    assert newest is not None
    assert (newest.step, _is_finite(newest)) == (3, True)
    assert bool(weight.isfinite().all())
