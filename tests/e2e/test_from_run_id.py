"""From an MLflow run id alone: a fine-tune job on a Ray cluster, its registered model, and an answer over HTTP."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.e2e.conftest import result_of
from tests.e2e.ray_cluster import Cluster, ray_cluster
from tests.served_process import served
from tests.served_requests import TrainingTime


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_run_id_is_enough_for_a_model_that_answers(ingested: Path) -> None:
    with ray_cluster() as cluster:
        status, text = _served_from_run_id(cluster, ingested)

    assert status == 200, text
    answers = json.loads(text)["predictions"]
    assert [set(answer) for answer in answers] == [{"embeddings", "fused", "probabilities", "class"}] * 2
    assert all(sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-5) for answer in answers)


def _served_from_run_id(cluster: Cluster, ingested: Path) -> tuple[int, str]:
    """Answer of the server, for two samples."""
    out = cluster.folder / "run"
    first = cluster.submit("pretrain", f"data.path={ingested}/data", f"out={out}", "pretrain.epochs=1", "--follow")
    assert first.returncode == 0, first.stderr
    run_id = json.loads((out / "result.json").read_text())["mlflow"]["run"]

    short = ["finetune.epochs=1", "finetune.supervised_control=false", "--follow"]
    tuned = cluster.submit("finetune", *short, recipe=Path(run_id))
    assert tuned.returncode == 0, tuned.stderr
    exported = subprocess.run(
        [sys.executable, "-m", "jobs", "export", run_id, f"uri={cluster.tracking}", "name=walks", "--json"],
        cwd=cluster.folder, env={**cluster.environment, "MLFLOW_TRACKING_URI": cluster.tracking},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert exported.returncode == 0, exported.stderr
    model = str(result_of(exported)["uri"])

    there = TrainingTime(out)
    with served(model, uri=cluster.tracking, folder=cluster.folder) as server:
        return server.ask({"inputs": there.request(there.whole[:2], there.streams)})
