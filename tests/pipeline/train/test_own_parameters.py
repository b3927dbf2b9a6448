"""Objectives that learn parameters of their own: trained, kept and resumed with the model, the same bits anywhere."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.errors import TrainingHealthError
from pipeline.memory.config import ClustersConfig, MemoryConfig
from pipeline.objectives.predictive import Predictive
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit, FitResult
from pipeline.train.loop import run_fit
from pipeline.train.optim import parameter_groups
from pipeline.train.pretraining import Pretraining
from pipeline.worker import GroupWorker, SingleWorker, Worker
from tests.contracts.objective_examples import DEFAULTS, own_parameters
from tests.pipeline.train.interrupted import interrupt
from tests.pipeline.train.test_loop import CONFIG as LONGER
from tests.pipeline.train.test_loop import Recorded
from tests.ranks import run_ranks
from tests.toy_streams import InOrder, toy_pretraining, toy_reader
from tests.toy_surroundings import HEAD, toy_surroundings

STREAMS = ("a", "b")
CONFIG = LONGER.model_copy(update={"epochs": 1})
OF_KEYS = Predictive(target="key", projection=HEAD)
LEARNING = [
    OF_KEYS,  # of those that predict keys, one can be the source of the memory
    *(
        config.model_copy(update={"projection": HEAD})
        for config in DEFAULTS
        if own_parameters(config.build(STREAMS)) and not config.needs
    ),
]
MEMORY = MemoryConfig(source=OF_KEYS.kind, encoder_momentum=0.9, clusters=ClustersConfig(num=(3,), min_cluster=2))


def make_fit(folder: Path, worker: Worker | None = None, device: torch.device | None = None) -> Fit:
    worker, device = worker or SingleWorker(), device or torch.device("cpu")
    around = toy_surroundings(worker, num_samples=40, memory=MEMORY, device=device)
    task = toy_pretraining(objectives=LEARNING, surroundings=around)
    return Fit(
        task=task,
        order=InOrder(40, CONFIG.batch_size),
        read=toy_reader(40, absent={"b": 3}),
        config=CONFIG,
        worker=worker,
        store=CheckpointStore(folder),
        run=Recorded(),  # type: ignore[arg-type]
        identity={},
        seed=0,
        groups=parameter_groups(task.module, CONFIG.optim) + parameter_groups(task.objectives, CONFIG.optim),
        device=device,
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> tuple[FitResult, Fit]:
    torch.set_num_threads(1)
    fit = make_fit(tmp_path_factory.mktemp("reference"))
    return run_fit(fit), fit


def test_every_own_parameter_is_trained_and_in_the_checkpoint(
    tmp_path: Path, uninterrupted: tuple[FitResult, Fit]
) -> None:
    fit, before = uninterrupted[1], make_fit(tmp_path).task
    assert isinstance(before, Pretraining)
    checkpoint = fit.store.newest()
    assert checkpoint is not None
    kept = checkpoint.part("objectives")

    for name, parameter in fit.task.objectives.named_parameters():
        assert kept[name].equal(parameter)
        assert not kept[name].equal(before.objectives.get_parameter(name)), name
    assert {name.split(".")[0] for name in kept} == {objective.name for objective in before.named}


@pytest.mark.parametrize("stop_after", [1, 3])
def test_resume_from_any_step_ends_in_the_same_state(
    tmp_path: Path, uninterrupted: tuple[FitResult, Fit], stop_after: int
) -> None:
    interrupt(make_fit(tmp_path), after=stop_after)

    assert run_fit(make_fit(tmp_path)).state_hash == uninterrupted[0].state_hash


@pytest.mark.fault("N01")
def test_no_checkpoint_holds_an_own_parameter_that_is_not_finite(tmp_path: Path) -> None:
    fit = make_fit(tmp_path)

    def ruin(step: int, total: int, metrics: dict[str, float]) -> None:
        with torch.no_grad():
            next(fit.task.objectives.parameters())[:] = torch.nan

    with pytest.raises(TrainingHealthError, match="NONFINITE_WEIGHTS"):
        run_fit(replace(fit, config=fit.config.model_copy(update={"checkpoint_every": 1}), on_step=ruin))

    assert fit.store.steps() == []


def _train_rank(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    result = run_fit(make_fit(Path(folder) / "checkpoints", GroupWorker()))
    Path(folder, f"hash-{rank}").write_text(result.state_hash)
    torch.distributed.destroy_process_group()


def test_two_workers_end_in_the_same_bits(tmp_path: Path, uninterrupted: tuple[FitResult, Fit]) -> None:
    run_ranks(_train_rank, 2, str(tmp_path), world=2)

    assert {(tmp_path / f"hash-{rank}").read_text() for rank in range(2)} == {uninterrupted[0].state_hash}
