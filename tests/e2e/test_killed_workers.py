"""Workers killed in a step, a save, a monitor, a bank update and at an epoch's end: one job, exact to the bit."""

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import ROOT, command, environment, kindred, result_of, tracked_runs, verify_run
from tests.wait_for import wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900)]
STEP, BANK = "pipeline.train.reduce GlobalStep backward", "pipeline.memory.memory Memory after_step"
PLACES = [
    (STEP, STEP),
    ("pipeline.train.checkpoint_store CheckpointStore _check_fence", "pipeline.train.state TrainState parts"),
    ("pipeline.train.pretraining Pretraining monitors",) * 2,
    (BANK, BANK),
    ("pipeline.memory.memory Memory _end_epoch",) * 2,
]
"""In a step, a save, a monitor, a bank update, at an epoch's end: on rank 0 and on rank 1."""
LONG = ["pretrain.epochs=14", "pretrain.monitor_every=1"]


@pytest.fixture(scope="module")
def whole(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, object]:
    """Result of an undisturbed run."""
    folder = tmp_path_factory.mktemp("whole")
    return result_of(kindred("pretrain", "out=run", f"data.path={ingested}/data", *LONG, folder=folder))


def _same(found: dict[str, object], whole: dict[str, object]) -> bool:
    return all(found[key] == whole[key] for key in ("state_hash", "ledger_sha256"))


@pytest.mark.fault("P01")
def test_killed_in_five_places_on_both_ranks(ingested: Path, tmp_path: Path, whole: dict[str, object]) -> None:
    planned = [(rank, place) for places in PLACES for rank, place in enumerate(places)]
    lines = [f"{rank} {4 * number + 2} {place}" for number, (rank, place) in enumerate(planned)]
    (tmp_path / "failpoints").write_text("\n".join(lines))
    extra = {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parent / "failpoints"), str(ROOT)]),
        "KINDRED_TEST_FAILPOINTS": str(tmp_path / "failpoints"),
        "KINDRED_TEST_STEPS": str(tmp_path / "run" / "pretrain" / "steps-of-attempts"),
    }
    given = ["out=run", f"data.path={ingested}/data", *LONG, "pretrain.workers=2", "pretrain.max_failures=20"]

    done = subprocess.run(
        command("pretrain", *given),
        cwd=tmp_path, env=environment(tmp_path) | extra, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("done-*"))) == len(planned)
    assert _same(result_of(done), whole)
    assert verify_run("run", folder=tmp_path).returncode == 0
    assert tracked_runs(tmp_path) == {"run": "FINISHED", "pretrain": "FINISHED"}


@pytest.mark.fault("P01", "P02", "P08")
def test_a_worker_has_no_children_and_sigterm_ends_it_as_a_kill_does(
    ingested: Path, tmp_path: Path, whole: dict[str, object]
) -> None:
    given = ["out=run", f"data.path={ingested}/data", *LONG, "pretrain.workers=2", "pretrain.readers=2"]
    with (tmp_path / "out").open("w") as out, (tmp_path / "err").open("w") as err:
        driver = psutil.Popen(
            command("pretrain", *given), cwd=tmp_path, env=environment(tmp_path), stdout=out, stderr=err
        )
    wait_for(lambda: any((tmp_path / "run/pretrain/checkpoints").glob("step-*")), seconds=200)
    workers = [child for child in driver.children(recursive=True) if "RayTrainWorker" in " ".join(child.cmdline())]

    assert [worker.children() for worker in workers] == [[], []]  # threads read data: there is no child to lose
    workers[1].send_signal(signal.SIGTERM)
    assert driver.wait(timeout=300) == 0, (tmp_path / "err").read_text()
    assert _same(json.loads((tmp_path / "out").read_text().splitlines()[-1]), whole)
    assert "group 2 of workers goes on from the last checkpoint" in (tmp_path / "err").read_text()
