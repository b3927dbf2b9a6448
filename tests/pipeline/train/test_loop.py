from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.errors import CheckpointError, ConfigError, Preempted, TrainingHealthError
from pipeline.objectives.intra import IntraSample
from pipeline.objectives.spec import Projection
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit, FitResult
from pipeline.train.fit_config import FitConfig
from pipeline.train.loop import run_fit
from pipeline.train.optim import OptimConfig, parameter_groups
from pipeline.types import Batch
from pipeline.worker import GroupWorker, SingleWorker, Worker
from tests.ranks import run_ranks
from tests.toy_streams import InOrder, toy_pretraining, toy_reader

CONFIG = FitConfig(epochs=3, batch_size=8, micro_batches=4, checkpoint_every=2, log_every=1, ema_decay=0.9)


class Recorded:
    def __init__(self) -> None:
        self.points: list[tuple[int, dict[str, float]]] = []
        self.tagged: dict[str, str] = {}

    def metrics(self, values: dict[str, float], step: int) -> None:
        self.points.append((step, dict(values)))

    def tags(self, values: dict[str, str]) -> None:
        self.tagged.update(values)


def make_fit(folder: Path, worker: Worker | None = None, config: FitConfig = CONFIG, seed: int = 0) -> Fit:
    task = toy_pretraining(seed)
    return Fit(
        task=task,
        order=InOrder(40, config.batch_size),
        read=toy_reader(40, absent={"b": 3}),
        config=config,
        worker=worker or SingleWorker(),
        store=CheckpointStore(folder),
        run=Recorded(),  # type: ignore[arg-type]
        identity={},
        seed=seed,
        groups=parameter_groups(task.module, config.optim),
    )


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> FitResult:
    torch.set_num_threads(1)
    return run_fit(make_fit(tmp_path_factory.mktemp("reference")))


def test_loss_goes_down(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"epochs": 20, "optim": OptimConfig(learning_rate=1e-2)})
    fit = make_fit(tmp_path, config=config)

    run_fit(fit)

    totals = [values["loss/total"] for _, values in fit.run.points]  # type: ignore[attr-defined]
    assert sum(totals[-10:]) < 0.8 * sum(totals[:10])


@pytest.mark.parametrize("stop_after", [1, 5, 7, 10, 14])
def test_resume_from_any_step_ends_in_the_same_state(tmp_path: Path, uninterrupted: FitResult, stop_after: int) -> None:
    def die_at(limit: int) -> Callable[[int, int, dict[str, float]], None]:
        def on_step(step: int, total: int, metrics: dict[str, float]) -> None:
            if step == limit:
                raise KeyboardInterrupt

        return on_step

    with pytest.raises(KeyboardInterrupt):
        run_fit(replace(make_fit(tmp_path), on_step=die_at(stop_after)))

    assert run_fit(make_fit(tmp_path)).state_hash == uninterrupted.state_hash


@pytest.mark.fault("P08")
def test_a_requested_stop_leaves_a_checkpoint_of_that_step(tmp_path: Path, uninterrupted: FitResult) -> None:
    asked = iter([False])
    fit = replace(make_fit(tmp_path), stop=lambda: next(asked, True))

    with pytest.raises(Preempted, match=r"after step 1 .* with a checkpoint"):
        run_fit(fit)

    assert fit.store.steps() == [1]
    assert run_fit(make_fit(tmp_path)).state_hash == uninterrupted.state_hash


def test_a_stop_before_the_first_step_saves_nothing(tmp_path: Path, uninterrupted: FitResult) -> None:
    fit = replace(make_fit(tmp_path), stop=lambda: True)

    with pytest.raises(Preempted, match=r"after step 0 of \d+ Fix"):
        run_fit(fit)

    assert fit.store.steps() == []
    assert run_fit(make_fit(tmp_path)).state_hash == uninterrupted.state_hash


def test_another_seed_ends_in_another_state(tmp_path: Path, uninterrupted: FitResult) -> None:
    assert run_fit(make_fit(tmp_path, seed=1)).state_hash != uninterrupted.state_hash


def test_a_finished_run_is_not_trained_again(tmp_path: Path, uninterrupted: FitResult) -> None:
    run_fit(make_fit(tmp_path))
    again = make_fit(tmp_path)

    assert run_fit(again).state_hash == uninterrupted.state_hash
    assert again.run.points == []  # type: ignore[attr-defined]


def _train_rank(rank: int, world: int, folder: str, reduce: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    config = CONFIG.model_copy(update={"reduce": reduce})
    result = run_fit(make_fit(Path(folder) / "checkpoints", GroupWorker(), config))
    Path(folder, f"hash-{rank}").write_text(result.state_hash)
    torch.distributed.destroy_process_group()


@pytest.mark.parametrize("world", [2, 3])
@pytest.mark.fault("P07")
def test_any_number_of_workers_ends_in_the_same_bits(tmp_path: Path, uninterrupted: FitResult, world: int) -> None:
    run_ranks(_train_rank, world, str(tmp_path), "exact", world=world)

    assert {(tmp_path / f"hash-{rank}").read_text() for rank in range(world)} == {uninterrupted.state_hash}


class _ManyWorkers(SingleWorker):
    world = 5


@pytest.mark.fault("P07")
def test_more_workers_than_micro_batches_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"CONFIG_WORLD: 5 workers cannot share 4 micro-batches.*>= 5") as caught:
        run_fit(make_fit(tmp_path, _ManyWorkers()))
    assert caught.value.exit_code == 64


def test_fast_reduction_gives_the_exact_weights_up_to_rounding(tmp_path: Path) -> None:
    exact, fast = make_fit(tmp_path / "exact"), tmp_path / "fast"
    run_fit(exact)
    fast.mkdir()
    run_ranks(_train_rank, 2, str(fast), "fast", world=2)

    expected, actual = exact.store.newest(), CheckpointStore(fast / "checkpoints").newest()

    assert expected is not None
    assert actual is not None
    for name, tensor in expected.part("model").items():
        torch.testing.assert_close(actual.part("model")[name], tensor, rtol=1e-4, atol=1e-5)


def test_micro_batches_do_not_change_the_gradient(tmp_path: Path) -> None:
    """The loss is over the global batch, so cutting it in one or four pieces is the same step (without dropout)."""
    weights = []
    for pieces in (1, 4):
        fit = make_fit(tmp_path / str(pieces), config=CONFIG.model_copy(update={"micro_batches": pieces, "epochs": 1}))
        for encoder in fit.task.module.encoders.values():  # type: ignore[union-attr]
            encoder.body[2].p = 0.0
        run_fit(fit)
        weights.append(fit.task.module.state_dict())

    for name, tensor in weights[0].items():
        torch.testing.assert_close(weights[1][name], tensor, rtol=1e-4, atol=1e-6)


@pytest.mark.fault("N01")
def test_nan_stops_before_the_step_and_names_the_sample(tmp_path: Path) -> None:
    fit = make_fit(tmp_path)

    def poisoned(indices):  # type: ignore[no-untyped-def]
        batch: Batch = fit.read(indices)
        batch.signals["a"].values[batch.idx == 11] = float("nan")
        return batch

    before = {name: tensor.clone() for name, tensor in fit.task.module.state_dict().items()}
    with pytest.raises(TrainingHealthError, match=r"NONFINITE_LOSS.*11"):
        run_fit(replace(fit, read=poisoned, config=CONFIG.model_copy(update={"checkpoint_every": 1})))

    assert all(tensor.isfinite().all() for tensor in fit.task.module.state_dict().values())
    assert before.keys() == fit.task.module.state_dict().keys()


def test_checkpoint_of_another_architecture_is_refused(tmp_path: Path) -> None:
    run_fit(make_fit(tmp_path))
    other = toy_pretraining(objectives=[IntraSample(projection=Projection(hidden=8, dim=6))])
    fit = replace(make_fit(tmp_path), task=other, groups=parameter_groups(other.module, CONFIG.optim))

    with pytest.raises(CheckpointError, match=r"CKPT_INCOMPATIBLE.*expected"):
        run_fit(fit)


def test_uneven_micro_batches_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="micro_batches"):
        run_fit(make_fit(tmp_path, config=CONFIG.model_copy(update={"micro_batches": 3})))


def test_bfloat16_autocast_trains_close_to_float32(tmp_path: Path) -> None:
    losses = []
    for precision in ("float32", "bfloat16"):
        fit = make_fit(tmp_path / precision, config=CONFIG.model_copy(update={"precision": precision}))
        run_fit(fit)
        losses.append(fit.run.points[-1][1]["loss/total"])  # type: ignore[attr-defined]

    assert losses[1] == pytest.approx(losses[0], rel=0.1)
