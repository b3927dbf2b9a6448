"""Workers that drift apart are found at the next step by all of them; the one that holds the others up is named."""

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.multiprocessing as mp
from torch import nn

from pipeline.errors import TrainingHealthError
from pipeline.train.loop import Fit, run_fit
from pipeline.train.roll_call import weights_digest
from pipeline.worker import GroupWorker
from tests.pipeline.train.test_loop import CONFIG, make_fit

WORLD, AT = 3, 4


def _flip_a_weight(fit: Fit) -> Fit:
    weight = next(fit.task.module.parameters())

    def before_step(step: int) -> None:
        if step == AT:
            weight.data.view(torch.int32).flatten()[0] ^= 1 << 20

    return replace(fit, before_step=before_step)


def _compute_slowly(fit: Fit) -> Fit:
    def delay(module: nn.Module, given: object) -> None:
        time.sleep(0.1)  # the fault itself: a processor that others use too

    fit.task.module.encoders["a"].register_forward_pre_hook(delay)  # type: ignore[union-attr]
    return fit


def _train_rank(rank: int, folder: str, fault: Callable[[Fit], Fit]) -> None:
    torch.set_num_threads(1)
    meeting = f"file://{folder}/rendezvous"
    torch.distributed.init_process_group("gloo", init_method=meeting, rank=rank, world_size=WORLD)
    config = CONFIG.model_copy(update={"monitor_every": 1, "checkpoint_every": 100, "log_every": 5, "epochs": 2})
    fit = make_fit(Path(folder) / "checkpoints", GroupWorker(), config)
    fit = fault(fit) if rank == 1 else fit
    try:
        run_fit(fit)
        found = fit.run.points[-1][1] if rank == 0 else {}  # type: ignore[attr-defined]
    except TrainingHealthError as error:
        found = error.record()
    Path(folder, f"found-{rank}.json").write_text(json.dumps(found))
    torch.distributed.destroy_process_group()


def _found(folder: Path, fault: Callable[[Fit], Fit]) -> list[dict[str, object]]:
    mp.spawn(_train_rank, args=(str(folder), fault), nprocs=WORLD)
    return [json.loads((folder / f"found-{rank}.json").read_text()) for rank in range(WORLD)]


@pytest.mark.fault("P11")
def test_one_flipped_bit_of_a_weight_ends_every_worker(tmp_path: Path) -> None:
    found = _found(tmp_path, _flip_a_weight)

    assert [error["code"] for error in found] == ["RANK_DESYNC"] * WORLD
    assert {str(error["message"]) for error in found} == {
        f"rank 1 has drifted from rank 0 in its weights before step {AT + 1}"
    }


@pytest.mark.fault("P12")
def test_the_worker_that_computes_slowly_is_named(tmp_path: Path) -> None:
    metrics = _found(tmp_path, _compute_slowly)[0]

    assert metrics["workers/slowest_rank"] == 1
    assert float(str(metrics["workers/slowest_ratio"])) > 2
    assert float(str(metrics["workers/slowest_data_share"])) < 0.5


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
