"""Memory, pseudo-labels, queue, momentum encoder and relations in the loop: the same bits anywhere."""

from pathlib import Path

import pytest
import torch

from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit, FitResult
from pipeline.train.fit_config import FitConfig
from pipeline.train.kept_memory import KeptMemory
from pipeline.train.loop import run_fit
from pipeline.train.optim import OptimConfig, parameter_groups
from pipeline.worker import GroupWorker, SingleWorker, Worker
from tests.pipeline.train.interrupted import interrupt
from tests.pipeline.train.test_loop import Recorded
from tests.ranks import run_ranks
from tests.toy_streams import InOrder, toy_reader
from tests.toy_surroundings import toy_remembering

SAMPLES = 40
CONFIG = FitConfig(
    epochs=4,
    batch_size=8,
    micro_batches=4,
    checkpoint_every=2,
    log_every=1,
    monitor_every=3,
    optim=OptimConfig(learning_rate=1e-2),
)


def make_fit(folder: Path, worker: Worker | None = None, device: torch.device | None = None) -> Fit:
    worker, device = worker or SingleWorker(), device or torch.device("cpu")
    task = toy_remembering(worker, num_samples=SAMPLES, device=device)
    return Fit(
        task=task,
        order=InOrder(SAMPLES, CONFIG.batch_size),
        read=toy_reader(SAMPLES, absent={"b": 3}),
        config=CONFIG,
        worker=worker,
        store=CheckpointStore(folder),
        run=Recorded(),  # type: ignore[arg-type]
        identity={},
        seed=0,
        groups=parameter_groups(task.module, CONFIG.optim),
        device=device,
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[FitResult, Fit]:
    torch.set_num_threads(1)
    fit = make_fit(tmp_path_factory.mktemp("reference"))
    return run_fit(fit), fit


def metrics_of(fit: Fit) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {}
    for _, values in fit.run.points:  # type: ignore[attr-defined]
        for name, value in values.items():
            found.setdefault(name, []).append(value)
    return found


def test_every_objective_takes_part_after_the_warm_up(uninterrupted: tuple[FitResult, Fit]) -> None:
    found = metrics_of(uninterrupted[1])
    steps = CONFIG.epochs * SAMPLES // CONFIG.batch_size
    kinds = ("momentum_keys/a", "intra/a", "relational/a", "relational/a-b", "relational_2/b", "meta_path/b")

    assert all(len(found[f"loss/{name}"]) == steps for name in kinds)
    assert len(found["loss/inter/a"]) == len(found["loss/inter_2/b"]) == steps - SAMPLES // CONFIG.batch_size
    assert all(value == value for values in found.values() for value in values)


def test_monitors_tell_what_the_memory_holds(uninterrupted: tuple[FitResult, Fit]) -> None:
    found = metrics_of(uninterrupted[1])

    assert found["health/a/clusters"][-1] == 3
    assert found["health/a/clusters_2"][-1] == 5
    assert found["health/b/valid_share"][-1] == pytest.approx(1 - 14 / SAMPLES)
    assert 0 <= found["health/a/nmi_fifth"][-1] <= 1
    assert 0 <= found["health/intra/a/false_negatives"][-1] <= 1
    assert 0 <= found["health/inter/a/false_negatives"][-1] <= 1
    assert 0 <= found["health/inter/a/true_positives"][-1] <= 1
    assert found["health/relational/frac_anchors_with_pos"][-1] > 0


@pytest.mark.fault("N05", "N07")
@pytest.mark.parametrize("stop_after", [1, 4, 5, 6, 11, 13])
def test_resume_from_any_step_ends_in_the_same_state(
    tmp_path: Path, uninterrupted: tuple[FitResult, Fit], stop_after: int
) -> None:
    interrupt(make_fit(tmp_path), after=stop_after)

    assert run_fit(make_fit(tmp_path)).state_hash == uninterrupted[0].state_hash


def test_the_state_holds_bank_labels_queue_and_momentum_encoder(uninterrupted: tuple[FitResult, Fit]) -> None:
    checkpoint = uninterrupted[1].store.newest()
    assert checkpoint is not None
    kept = uninterrupted[1].task.kept
    assert isinstance(kept, KeptMemory)
    assert kept.momentum is not None

    assert checkpoint.part("memory_space_0_bank_00000")["rows"].equal(kept.memory.spaces["a"].bank.rows)
    assert checkpoint.part("memory_queue_1")["rows"].equal(kept.memory.queues["b"].rows)
    assert "labels" in checkpoint.part("memory_space_2_labels_1")
    for name, tensor in kept.momentum.tensors().items():
        assert checkpoint.part("memory_momentum")[name].equal(tensor)


def _train_rank(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    result = run_fit(make_fit(Path(folder) / "checkpoints", GroupWorker()))
    Path(folder, f"hash-{rank}").write_text(result.state_hash)
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("world", [2, 3])
def test_any_number_of_workers_ends_in_the_same_bits(
    tmp_path: Path, uninterrupted: tuple[FitResult, Fit], world: int
) -> None:
    run_ranks(_train_rank, world, str(tmp_path), world=world)

    assert {(tmp_path / f"hash-{rank}").read_text() for rank in range(world)} == {uninterrupted[0].state_hash}
    resumed = run_fit(make_fit(tmp_path / "checkpoints"))
    assert resumed.state_hash == uninterrupted[0].state_hash
