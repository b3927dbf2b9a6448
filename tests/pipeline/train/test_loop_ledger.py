"""The ledger of the training loop: the same bytes for any workers and any kills, and what the loss really saw."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.data.ledger import LEDGER_NAME, read_header, read_records
from pipeline.data.plan import Plan
from pipeline.errors import TrainingHealthError
from pipeline.train.fit import Fit
from pipeline.train.loop import run_fit
from pipeline.worker import GroupWorker, SingleWorker, Worker
from tests.pipeline.train.test_loop import CONFIG, make_fit
from tests.ranks import run_ranks

PLAN = Plan(np.arange(40), batch_size=8, seed=0)


def _fit(folder: Path, worker: Worker | None = None, *, seed: int = 0) -> Fit:
    plan = Plan(np.arange(40), batch_size=8, seed=seed)
    return replace(make_fit(folder, worker or SingleWorker()), order=plan, ledger=folder / LEDGER_NAME)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("ledger")
    torch.set_num_threads(1)
    result = run_fit(_fit(folder))
    payload = (folder / LEDGER_NAME).read_bytes()
    assert result.ledger_sha256 == payload[-32:].hex()
    return payload


def test_it_holds_every_step(undisturbed: bytes, tmp_path: Path) -> None:
    (tmp_path / LEDGER_NAME).write_bytes(undisturbed)
    with (tmp_path / LEDGER_NAME).open("rb") as file:
        records = list(read_records(file, read_header(file)))

    assert len(records) == 15
    for record in records:
        assert np.array_equal(record.idx, PLAN.batch(record.cursor.epoch, record.cursor.step))


@pytest.mark.parametrize("stop_after", [1, 5, 9])
def test_a_killed_run_ends_in_the_same_ledger(tmp_path: Path, undisturbed: bytes, stop_after: int) -> None:
    def die(step: int, total: int, metrics: dict[str, float]) -> None:
        if step == stop_after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_fit(replace(_fit(tmp_path), on_step=die))
    assert len((tmp_path / LEDGER_NAME).read_bytes()) == 64 + stop_after * (8 * 10 + 32)

    run_fit(_fit(tmp_path))

    assert (tmp_path / LEDGER_NAME).read_bytes() == undisturbed


def test_a_replay_in_another_order_is_refused(tmp_path: Path) -> None:
    def die(step: int, total: int, metrics: dict[str, float]) -> None:
        if step == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_fit(replace(_fit(tmp_path), on_step=die))

    with pytest.raises(TrainingHealthError, match=r"LEDGER_REPLAY.*epoch 0 step 2"):
        run_fit(_fit(tmp_path, seed=1))


def _train_rank(rank: int, world: int, folder: str) -> None:
    torch.set_num_threads(1)
    torch.distributed.init_process_group("gloo", init_method=f"file://{folder}/rendezvous", rank=rank, world_size=world)
    run_fit(_fit(Path(folder), GroupWorker()))
    torch.distributed.destroy_process_group()


def test_three_workers_write_the_same_ledger(tmp_path: Path, undisturbed: bytes) -> None:
    assert CONFIG.micro_batches >= 3
    run_ranks(_train_rank, 3, str(tmp_path), world=3)

    assert (tmp_path / LEDGER_NAME).read_bytes() == undisturbed
