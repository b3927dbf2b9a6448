"""A cluster that loses a node in the middle of a run and gets another later: the bits of an undisturbed run."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import command, environment, kindred, result_of, verify_run
from tests.e2e.ray_cluster import LOST_NODE_SEEN_QUICKLY, Cluster, ray_cluster
from tests.faults.chaos_faults import last_step
from tests.wait_for import wait_for

LONG = "pretrain.epochs=40"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.fault("P06")
def test_a_node_that_is_lost_and_another_that_joins_change_nothing(ingested: Path, tmp_path: Path) -> None:
    data, keys = f"data.path={ingested}/data", ("state_hash", "ledger_sha256")
    given = [f"out={tmp_path}/whole", data, LONG, "pretrain.workers=0"]
    expected = result_of(kindred("pretrain", *given, folder=tmp_path))

    with ray_cluster(cpus=1, variables=LOST_NODE_SEEN_QUICKLY) as cluster:
        cluster.add_node(cpus=1)
        found = _disturbed(cluster, tmp_path, data)

    assert [found[key] for key in keys] == [expected[key] for key in keys]
    assert verify_run(f"{tmp_path}/run", folder=tmp_path).returncode == 0


def _disturbed(cluster: Cluster, folder: Path, data: str) -> dict[str, object]:
    """Two workers, one after the loss, two again."""
    run = folder / "run"
    given = [f"out={run}", data, LONG, "pretrain.workers=2", "pretrain.min_workers=1", "pretrain.checkpoint_every=2"]
    job = _start(cluster, folder, given)
    _reach(job, run, 8)
    assert len(cluster.workers()) == 2
    cluster.kill_node()
    lost = last_step(run)
    _reach(job, run, lost + 4)
    assert len(cluster.workers()) == 1
    cluster.add_node(cpus=1)
    wait_for(lambda: len(cluster.workers()) == 2 or job.poll() is not None, seconds=120)
    _reach(job, run, last_step(run) + 2)
    out, _ = job.communicate(timeout=300)
    assert job.returncode == 0, (folder / "err").read_text()
    return json.loads(out.splitlines()[-1])


def _start(cluster: Cluster, folder: Path, given: list[str]) -> subprocess.Popen[str]:
    variables = environment(folder) | cluster.environment | {"RAY_ADDRESS": cluster.control_store}
    with (folder / "err").open("w") as err:
        return subprocess.Popen(
            command("pretrain", *given), cwd=folder, env=variables, stdout=subprocess.PIPE, stderr=err, text=True
        )


def _reach(job: subprocess.Popen[str], run: Path, step: int) -> None:
    wait_for(lambda: job.poll() is not None or last_step(run) >= step, seconds=200)
    assert job.poll() is None, "the job ended early"


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.fault("P08")
def test_a_node_that_will_be_reclaimed_is_told_in_time_for_a_checkpoint(ingested: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    checkpoints = run / "pretrain" / "checkpoints"
    given = [f"out={run}", f"data.path={ingested}/data", LONG, "pretrain.workers=2", "pretrain.checkpoint_every=1000"]

    with ray_cluster(cpus=1, variables=LOST_NODE_SEEN_QUICKLY) as cluster:
        cluster.add_node(cpus=1)
        job = _start(cluster, tmp_path, given)
        _reach(job, run, 8)
        cluster.announce_the_end_of_a_node(seconds=300)
        wait_for(lambda: any(checkpoints.glob("step-*")) or job.poll() is not None, seconds=100)
        noticed = last_step(run)
        job.kill()
        job.wait()

    (found,) = checkpoints.glob("step-*")
    assert 8 <= int(found.name.removeprefix("step-")) <= noticed + 10
