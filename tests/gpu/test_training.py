"""The loop on a GPU, with everything that remembers samples: the losses of the CPU, the same bits after any stop."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor

from pipeline.train.device_copy import DeviceCopy
from pipeline.train.fit import Fit
from pipeline.train.loop import run_fit
from pipeline.worker import GroupWorker, Worker
from tests.pipeline.train.test_loop_memory import make_fit, metrics_of
from tests.pipeline.train.test_own_parameters import make_fit as own_parameters_fit
from tests.toy_streams import toy_reader

pytestmark = pytest.mark.gpu


@pytest.fixture(autouse=True)
def _deterministic() -> object:
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


def with_average(fit: Fit) -> Fit:
    return replace(fit, config=fit.config.model_copy(update={"ema_decay": 0.9}))


def without_dropout(fit: Fit) -> Fit:
    """CPU and GPU draw other dropout masks."""
    for module in fit.task.module.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    return fit


def test_losses_are_those_of_the_cpu(tmp_path: Path, device: torch.device) -> None:
    here, there = make_fit(tmp_path / "cpu"), make_fit(tmp_path / "gpu", device=device)
    run_fit(without_dropout(here))
    run_fit(without_dropout(there))
    expected, actual = metrics_of(here), metrics_of(there)

    for name in ("loss/intra/a", "loss/relational/a", "loss/momentum_keys/a", "loss/inter/a"):
        assert actual[name][:5] == pytest.approx(expected[name][:5], rel=1e-2), name  # the memory's rows are float16


def test_what_objectives_learn_themselves_is_on_the_device(tmp_path: Path, device: torch.device) -> None:
    here, there = own_parameters_fit(tmp_path / "cpu"), own_parameters_fit(tmp_path / "gpu", device=device)
    run_fit(without_dropout(here))
    run_fit(without_dropout(there))
    expected, actual = metrics_of(here), metrics_of(there)

    assert all(parameter.device == device for parameter in there.task.objectives.parameters())
    assert actual["loss/total"][:5] == pytest.approx(expected["loss/total"][:5], rel=1e-3)


@pytest.mark.parametrize("stop_after", [1, 5, 6, 13])
def test_a_stop_at_any_step_changes_no_bit(tmp_path: Path, device: torch.device, stop_after: int) -> None:
    expected = run_fit(with_average(make_fit(tmp_path / "whole", device=device))).state_hash
    fit = with_average(make_fit(tmp_path / "cut", device=device))
    fit.run.metrics = lambda values, step: _die_at(step, stop_after)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run_fit(fit)

    assert run_fit(with_average(make_fit(tmp_path / "cut", device=device))).state_hash == expected


def test_one_nccl_rank_gives_the_bits_of_no_group(tmp_path: Path, device: torch.device) -> None:
    expected = run_fit(make_fit(tmp_path / "alone", device=device)).state_hash
    dist.init_process_group("nccl", init_method=f"file://{tmp_path}/rendezvous", rank=0, world_size=1)
    try:
        worker: Worker = GroupWorker()
        actual = run_fit(make_fit(tmp_path / "group", worker, device)).state_hash
        total = worker.sum_fast(torch.ones(3, device=device))
    finally:
        dist.destroy_process_group()

    assert actual == expected
    assert total.tolist() == [1.0, 1.0, 1.0]


def test_a_checkpoint_of_the_gpu_goes_on_on_the_cpu(tmp_path: Path, device: torch.device) -> None:
    fit = make_fit(tmp_path, device=device)
    fit.run.metrics = lambda values, step: _die_at(step, 6)  # type: ignore[method-assign]
    with pytest.raises(KeyboardInterrupt):
        run_fit(fit)
    there = make_fit(tmp_path)
    result = run_fit(there)

    assert result.steps == 20
    assert all(value == value for values in metrics_of(there).values() for value in values)


def _die_at(step: int, limit: int) -> None:
    if step == limit:
        raise KeyboardInterrupt


def test_batches_arrive_whole_while_the_device_computes(device: torch.device) -> None:
    read, copy = toy_reader(64, absent={"b": 3}), DeviceCopy(device)
    busy = torch.randn(2048, 2048, device=device)
    batches = [read(torch.arange(start, start + 16).numpy()) for start in range(0, 64, 16)]
    sent = [copy.send([batch]) for batch in batches]
    for _ in range(20):
        busy = busy @ busy.T / busy.norm()
    for expected, found in zip(batches, sent, strict=True):
        (actual,) = copy.receive(found)
        pairs: list[tuple[Tensor, Tensor]] = list(zip(actual.tensors(), expected.tensors(), strict=True))

        assert all(a.device == device and torch.equal(a.cpu(), b) for a, b in pairs)
