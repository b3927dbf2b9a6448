"""The demo as a job on a cluster of two nodes, with MLflow on PostgreSQL; one node is lost in the middle."""

import json
from pathlib import Path

import pytest
from mlflow import MlflowClient

from tests.e2e.conftest import ROOT, kindred, result_of
from tests.e2e.mlflow_on_postgres import MlflowOnPostgres, postgres_programs
from tests.e2e.ray_cluster import LOST_NODE_SEEN_QUICKLY, Cluster, ray_cluster
from tests.faults.chaos_faults import last_step
from tests.wait_for import wait_for

DEMO = ROOT / "jobs" / "recipes" / "demo.yaml"
SHORT = ["pretrain.epochs=6", "finetune.epochs=2"]
PROGRAMS = postgres_programs()


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(1500)
@pytest.mark.skipif(PROGRAMS is None, reason="PostgreSQL is not installed")
def test_the_demo_survives_the_loss_of_a_node_with_one_run_per_stage() -> None:
    assert PROGRAMS is not None
    with ray_cluster(cpus=1, variables=LOST_NODE_SEEN_QUICKLY) as cluster:
        folder = cluster.folder
        folder.chmod(0o755)  # the database has another owner
        server = MlflowOnPostgres(folder, PROGRAMS)
        try:
            server.start()
            cluster.add_node(cpus=1)
            cluster.tracking = server.uri
            _submit_and_lose_a_node(cluster, folder / "run")
            _check_tracking(server.uri, folder / "run")
        finally:
            server.stop()
        cluster.stop()
        expected = _undisturbed(folder)
        assert _result(folder / "run")["state_hash"] == expected["state_hash"]


def _submit_and_lose_a_node(cluster: Cluster, run: Path) -> None:
    given = [f"out={run}", *SHORT, "pretrain.min_workers=1", "pretrain.checkpoint_every=5"]
    submitted = cluster.submit("run", *given, recipe=DEMO)
    assert submitted.returncode == 0, submitted.stderr
    wait_for(lambda: last_step(run) >= 20, seconds=400)
    assert len(cluster.workers()) == 2
    cluster.kill_node()
    followed = cluster.submit("run", *given, "--follow", recipe=DEMO)
    assert followed.returncode == 0, followed.stderr
    assert result_of(followed)["status"] == "succeeded"


def _check_tracking(uri: str, run: Path) -> None:
    client = MlflowClient(uri)
    found = client.search_runs([each.experiment_id for each in client.search_experiments()])
    stages = sorted(each.data.tags["kindred.stage"] for each in found)
    assert len(stages) == len(set(stages))
    assert {"pretrain", "probe", "finetune"} <= set(stages)
    assert {each.info.status for each in found} == {"FINISHED"}
    (pretrain,) = (each for each in found if each.data.tags["kindred.stage"] == "pretrain")
    steps = [point.step for point in client.get_metric_history(pretrain.info.run_id, "pretrain/loss/total")]
    assert steps == sorted(set(steps))
    assert steps[-1] == last_step(run)


def _result(run: Path) -> dict[str, object]:
    return json.loads((run / "pretrain" / "result.json").read_text())


def _undisturbed(folder: Path) -> dict[str, object]:
    """The same training in one process."""
    given = [f"out={folder}/whole", f"data.path={folder}/run/data", *SHORT, "pretrain.workers=0"]
    done = kindred("pretrain", *given, folder=folder, recipe=DEMO)
    assert done.returncode == 0, done.stderr
    return result_of(done)
