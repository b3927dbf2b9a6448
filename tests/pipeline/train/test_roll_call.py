"""Workers that drift apart are found at the next step by all of them; the one that holds the others up is named."""

import json
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.multiprocessing as mp
from torch import Tensor, nn

from jobs._stragglers import Stragglers
from pipeline.errors import TrainingHealthError
from pipeline.objectives.intra import IntraSample
from pipeline.objectives.spec import Projection
from pipeline.train.loop import Fit, run_fit
from pipeline.train.optim import parameter_groups
from pipeline.train.roll_call import weights_digest
from pipeline.types import Batch, LossTerms
from pipeline.worker import GroupWorker
from tests.pipeline.train import test_loop
from tests.pipeline.train.test_loop import make_fit
from tests.toy_streams import InOrder, toy_pretraining

WORLD, AT = 3, 4
CONFIG = test_loop.CONFIG.model_copy(update={"monitor_every": 1, "checkpoint_every": 100, "log_every": 5, "epochs": 2})


def _flip_a_weight(fit: Fit) -> Fit:
    weight = next(fit.task.module.parameters())

    def before_step(step: int) -> None:
        if step == AT:
            weight.data.view(torch.int32).flatten()[0] ^= 1 << 20

    return replace(fit, before_step=before_step)


def _take_another_branch_of_the_loss(fit: Fit) -> Fit:
    total = fit.task.total

    def without_a_term(terms: LossTerms) -> Tensor:
        return total(LossTerms(dict(list(terms.terms.items())[1:]), terms.weights))

    fit.task.total = without_a_term  # type: ignore[method-assign]
    return fit


def _have_fewer_steps(fit: Fit) -> Fit:
    return replace(fit, order=InOrder(AT * CONFIG.batch_size, CONFIG.batch_size))


def _have_other_shapes(fit: Fit) -> Fit:
    task = toy_pretraining(0, [IntraSample(projection=Projection(hidden=8, dim=6))])
    return replace(fit, task=task, groups=parameter_groups(task.module, CONFIG.optim))


def _compute_slowly(fit: Fit) -> Fit:
    def delay(module: nn.Module, given: object) -> None:
        time.sleep(0.1)  # the fault itself: a processor that others use too

    fit.task.module.encoders["a"].register_forward_pre_hook(delay)  # type: ignore[union-attr]
    return fit


def _read_slowly(fit: Fit) -> Fit:
    def read(indices: np.ndarray) -> Batch:
        time.sleep(0.1)  # the fault itself: storage that others use too
        return fit.read(indices)

    return replace(fit, read=read)


def _train_rank(rank: int, folder: str, fault: Callable[[Fit], Fit]) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder}/rendezvous"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=WORLD)
    fit = make_fit(Path(folder) / "checkpoints", GroupWorker(), CONFIG)
    fit = fault(fit) if rank == 1 else fit
    try:
        result = run_fit(fit)
        last = fit.run.points[-1][1] if rank == 0 else {}  # type: ignore[attr-defined]
        found, code = {"metrics": last, "state_hash": result.state_hash}, 0
    except TrainingHealthError as error:
        found, code = error.record(), error.exit_code
    Path(folder, f"found-{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()
    sys.exit(code)


def _found(folder: Path, fault: Callable[[Fit], Fit], *, code: int) -> list[dict[str, Any]]:
    """What each rank left; every one of them ends with the exit code."""
    context = mp.get_context("spawn")
    ranks = [context.Process(target=_train_rank, args=(rank, str(folder), fault)) for rank in range(WORLD)]
    for rank in ranks:
        rank.start()
    for rank in ranks:
        rank.join(60)
    assert [rank.exitcode for rank in ranks] == [code] * WORLD
    return [json.loads((folder / f"found-{rank}.json").read_text()) for rank in range(WORLD)]


@pytest.mark.fault("P11")
@pytest.mark.parametrize(
    ("fault", "field", "before"),
    [
        (_flip_a_weight, "weights", AT + 1),
        (_take_another_branch_of_the_loss, "loss", 1),
        (_have_fewer_steps, "epoch", AT),
        (_have_other_shapes, "weights", 0),
    ],
)
def test_a_worker_that_drifts_ends_every_worker(
    tmp_path: Path, fault: Callable[[Fit], Fit], field: str, before: int
) -> None:
    found = _found(tmp_path, fault, code=76)

    assert {error["code"] for error in found} == {"RANK_DESYNC"}
    assert {(error["field"], error["got"]["rank"]) for error in found} == {(field, 1)}
    assert {error["message"] for error in found} == {
        f"rank 1 has drifted from rank 0 in its {field} before step {before}"
    }


@pytest.mark.fault("P12")
@pytest.mark.parametrize(("fault", "phase"), [(_compute_slowly, "computing"), (_read_slowly, "waiting for data")])
def test_a_slow_worker_is_named_with_what_it_does_and_changes_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, fault: Callable[[Fit], Fit], phase: str
) -> None:
    found = _found(tmp_path, fault, code=0)

    assert {each["state_hash"] for each in found} == {run_fit(make_fit(tmp_path / "alone", config=CONFIG)).state_hash}
    Stragglers()(found[0]["metrics"])
    assert caplog.text.count("rank 1 takes") == 1
    assert f"times as long as the others, mostly {phase}" in caplog.text


@pytest.mark.parametrize("place", [0, 1, 5])
def test_every_bit_of_every_weight_counts(place: int) -> None:
    weights = [torch.randn(2, 3), torch.randn(4)]
    before = weights_digest(weights)
    for weight in weights:
        words = weight.view(torch.int32).flatten()
        for bit in range(31):
            words[place % len(words)] ^= 1 << bit
            assert weights_digest(weights) != before
            words[place % len(words)] ^= 1 << bit
    assert weights_digest(weights) == before
