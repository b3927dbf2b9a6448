"""A cluster that loses a node in the middle of a run and gets another later: the bits of an undisturbed run."""

import json
import subprocess
import tempfile
from pathlib import Path

import pytest

from pipeline.tracking import read_spool
from tests.e2e.conftest import command, environment, kindred, result_of, verify_run
from tests.e2e.ray_cluster import Cluster
from tests.faults.chaos_faults import wait_for

SEEN_QUICKLY = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}
LONG = "pretrain.epochs=40"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_node_that_is_lost_and_another_that_joins_change_nothing(ingested: Path) -> None:
    with tempfile.TemporaryDirectory(prefix="k", ignore_cleanup_errors=True) as made:  # Ray's socket paths are long
        folder, data = Path(made), f"data.path={ingested}/data"
        expected = result_of(
            kindred("pretrain", f"out={folder}/whole", data, LONG, "pretrain.workers=0", folder=folder)
        )
        cluster = Cluster(folder, cpus=1, variables=SEEN_QUICKLY)
        try:
            cluster.add_node(cpus=1)
            found = _disturbed(cluster, folder, data)
        finally:
            cluster.stop()

        assert [found[key] for key in ("state_hash", "ledger_sha256")] == [
            expected[key] for key in ("state_hash", "ledger_sha256")
        ]
        assert verify_run(f"{folder}/run", folder=folder).returncode == 0


def _disturbed(cluster: Cluster, folder: Path, data: str) -> dict[str, object]:
    """Two workers, one after the loss, two again."""
    run = folder / "run"
    given = [f"out={run}", data, LONG, "pretrain.workers=2", "pretrain.min_workers=1", "pretrain.checkpoint_every=2"]
    variables = environment(folder) | cluster.environment | {"RAY_ADDRESS": cluster.control_store}
    with (folder / "err").open("w") as err:
        job = subprocess.Popen(
            command("pretrain", *given), cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=err, text=True
        )
    _reach(job, run, 8)
    assert len(cluster.training_workers()) == 2
    cluster.kill_node()
    lost = _last_step(run)
    _reach(job, run, lost + 4)
    assert len(cluster.training_workers()) == 1
    cluster.add_node(cpus=1)
    wait_for(lambda: len(cluster.training_workers()) == 2 or job.poll() is not None, seconds=120)
    _reach(job, run, _last_step(run) + 2)
    out, _ = job.communicate(timeout=300)
    assert job.returncode == 0, (folder / "err").read_text()
    return json.loads(out.splitlines()[-1])


def _reach(job: subprocess.Popen[str], run: Path, step: int) -> None:
    wait_for(lambda: job.poll() is not None or _last_step(run) >= step, seconds=200)
    assert job.poll() is None, "the job ended early"


def _last_step(run: Path) -> int:
    path = run / "tracking" / "pretrain.jsonl"
    records = read_spool(path)[0] if path.exists() else []
    return max((record.step for record in records if record.kind == "metrics"), default=0)
