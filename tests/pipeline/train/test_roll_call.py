"""Workers that drift apart are found at the next step by all of them; the one that holds the others up is named."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from jobs._stragglers import Stragglers
from pipeline.errors import TrainingHealthError
from pipeline.objectives.intra import IntraSample
from pipeline.objectives.spec import Projection
from pipeline.tensor_digest import tensor_digest
from pipeline.train.fit import Fit
from pipeline.train.loop import run_fit
from pipeline.train.optim import OptimConfig, parameter_groups
from pipeline.types import Batch, LossTerms
from pipeline.worker import GroupWorker
from tests.pipeline.train import test_loop
from tests.pipeline.train.test_loop import make_fit
from tests.ranks import run_ranks
from tests.toy_streams import InOrder, toy_pretraining

WORLD, AT = 3, 4
CONSTANT = OptimConfig(warmup_fraction=0, final_fraction=1)
CONFIG = test_loop.CONFIG.model_copy(
    update={"monitor_every": 1, "checkpoint_every": 100, "log_every": 5, "epochs": 2, "optim": CONSTANT}
)


def _flip_a_weight(fit: Fit) -> Fit:
    weight = next(fit.task.module.parameters())

    def before_step(step: int) -> None:
        if step == AT:
            weight.data.view(torch.int32).flatten()[0] ^= 1 << 20

    return replace(fit, before_step=before_step)


def _take_another_branch_of_the_loss(fit: Fit) -> Fit:
    total = fit.task.total

    def without_a_term(terms: LossTerms) -> Tensor:
        return total(LossTerms(dict(list(terms.terms.items())[1:])))

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
        time.sleep(0.4)  # the fault itself: storage that others use too
        return fit.read(indices)

    return replace(fit, read=read)


FAULTS = {
    "weight": _flip_a_weight,
    "branch": _take_another_branch_of_the_loss,
    "steps": _have_fewer_steps,
    "shapes": _have_other_shapes,
    "processor": _compute_slowly,
    "storage": _read_slowly,
}


def _train_with(fault: Callable[[Fit], Fit], folder: Path, rank: int) -> dict[str, object]:
    meeting = f"file://{folder}/rendezvous"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=WORLD)
    fit = make_fit(folder / "checkpoints", GroupWorker(), CONFIG)
    fit = fault(fit) if rank == 1 else fit
    try:
        result = run_fit(fit)
        return {"metrics": fit.run.points[-1][1] if rank == 0 else {}, "state_hash": result.state_hash}  # type: ignore[attr-defined]
    except TrainingHealthError as error:
        return {**error.record(), "exit_code": error.exit_code}
    finally:
        torch.distributed.destroy_process_group()


def _train_rank(rank: int, folder: str) -> None:
    """With one fault after the other: starting processes takes longer than what they do here."""
    torch.set_num_threads(1)
    for name, fault in FAULTS.items():
        found = _train_with(fault, Path(folder, name), rank)
        Path(folder, name, f"found-{rank}.json").write_text(json.dumps(found))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[dict[str, Any]]]:
    """By fault: what each rank left."""
    folder = tmp_path_factory.mktemp("faults")
    for name in FAULTS:
        (folder / name).mkdir()
    run_ranks(_train_rank, str(folder), world=WORLD)
    ranks = range(WORLD)
    return {name: [json.loads((folder / name / f"found-{rank}.json").read_text()) for rank in ranks] for name in FAULTS}


@pytest.mark.fault("P11")
@pytest.mark.parametrize(
    ("fault", "field", "before"),
    [("weight", "weights", AT + 1), ("branch", "loss", 1), ("steps", "epoch", AT), ("shapes", "weights", 0)],
)
def test_a_worker_that_drifts_ends_every_worker(
    found: dict[str, list[dict[str, Any]]], fault: str, field: str, before: int
) -> None:
    message = f"rank 1 has drifted from rank 0 in its {field} before step {before}"
    for error in found[fault]:
        assert (error["code"], error["exit_code"], error["message"]) == ("RANK_DESYNC", 76, message)
        assert (error["field"], error["got"]["rank"]) == (field, 1)


@pytest.mark.fault("P12")
@pytest.mark.parametrize("fault", ["processor", "storage"])
def test_a_slow_worker_is_found_and_changes_nothing(
    found: dict[str, list[dict[str, Any]]], tmp_path: Path, fault: str
) -> None:
    """How many times slower it is depends on what else the machine does."""
    torch.set_num_threads(1)
    alone = run_fit(make_fit(tmp_path, config=CONFIG)).state_hash

    assert {each["state_hash"] for each in found[fault]} == {alone}
    assert found[fault][0]["metrics"]["workers/slowest_rank"] == 1
    assert found[fault][0]["metrics"]["workers/slowest_ratio"] > 1


def test_a_worker_with_slow_storage_waits_more_than_one_with_a_slow_processor(
    found: dict[str, list[dict[str, Any]]],
) -> None:
    waits = {fault: found[fault][0]["metrics"]["workers/slowest_data_share"] for fault in ("processor", "storage")}
    assert waits["storage"] > waits["processor"]


@pytest.mark.fault("P12")
@pytest.mark.parametrize(("share", "phase"), [(0.6, "waiting for data"), (0.4, "computing")])
def test_a_slow_worker_is_named_once_with_what_it_mostly_does(
    caplog: pytest.LogCaptureFixture, share: float, phase: str
) -> None:
    metrics = {"workers/slowest_rank": 1.0, "workers/slowest_data_share": share}
    stragglers = Stragglers()
    for ratio in (1.9, 3.0, 3.0):
        stragglers({**metrics, "workers/slowest_ratio": ratio})
    assert [record.getMessage() for record in caplog.records] == [
        f"rank 1 takes 3.0 times as long as the others, mostly {phase}: all wait for it at every step"
    ]


@pytest.mark.parametrize("place", [0, 1, 5])
def test_every_bit_of_every_weight_counts(place: int) -> None:
    weights = [torch.randn(2, 3), torch.randn(4)]
    before = tensor_digest(weights)
    for weight in weights:
        words = weight.view(torch.int32).flatten()
        for bit in range(31):
            words[place % len(words)] ^= 1 << bit
            assert tensor_digest(weights) != before
            words[place % len(words)] ^= 1 << bit
    assert tensor_digest(weights) == before
