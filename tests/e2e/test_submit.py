"""kindred submit against a real Ray head on loopback: once however often, followed, stopped, with its exit code."""

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import RECIPE, result_of
from tests.e2e.ray_cluster import Cluster, ray_cluster

pytestmark = pytest.mark.ray


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with ray_cluster() as made:
        yield made


@pytest.mark.fault("P16")
def test_a_job_runs_once_however_often_it_is_submitted(cluster: Cluster, ingested: Path) -> None:
    data, out = f"data.path={ingested}/data", f"out={cluster.folder}/once"
    secret = "s3cr3t-0123456789"
    cluster.environment["KINDRED_TEST_SECRET"] = secret
    arguments = [data, out, "pretrain.epochs=1", "--secret", "KINDRED_TEST_SECRET"]

    first = [result_of(cluster.submit("pretrain", *arguments)) for _ in range(2)]
    followed = cluster.submit("pretrain", *arguments, "--follow")
    later = [result_of(cluster.submit("pretrain", *arguments)) for _ in range(2)]

    assert followed.returncode == 0, followed.stderr
    assert len({str(found["submission_id"]) for found in [*first, result_of(followed), *later]}) == 1
    assert [found["status"] for found in later] == ["succeeded"] * 2
    assert "first_step_s" in result_of(followed)
    assert "step 4/4" in followed.stderr
    spools = list((cluster.folder / "once" / "tracking").glob("pretrain*.jsonl"))
    assert len(spools) == 1
    logs = [path for path in (cluster.folder / "ray").rglob("job-driver-*.log") if path.is_file()]
    assert logs
    assert not any(secret in path.read_text(errors="replace") for path in logs)
    assert secret not in followed.stderr + followed.stdout


@pytest.mark.slow
def test_a_study_travels_with_its_recipe(cluster: Cluster, ingested: Path, tmp_path: Path) -> None:
    overrides = [f"data={{path: {ingested}/data}}", "pretrain.epochs=1", "probe.methods=[knn]", "probe.draws=1"]
    document = {"name": "s", "recipe": str(RECIPE), "seeds": [0], "overrides": overrides}
    document["variants"] = {"cross": ["objectives=[{kind: cross}]"], "intra": ["objectives=[{kind: intra}]"]}
    (tmp_path / "s.yaml").write_text(yaml.safe_dump(document, sort_keys=False))
    out = cluster.folder / "study"

    done = cluster.submit("study", f"out={out}", "--follow", recipe=tmp_path / "s.yaml")

    assert done.returncode == 0, done.stderr
    assert result_of(done)["status"] == "succeeded"
    assert json.loads((out / "study.json").read_text())["status"] == "finished"
    assert "| cross | fused | Kindred, kNN probe |" in done.stderr


@pytest.mark.slow
@pytest.mark.fault("P16")
def test_ten_submissions_at_once_run_one_job(cluster: Cluster, ingested: Path) -> None:
    arguments = [f"data.path={ingested}/data", f"out={cluster.folder}/ten", "pretrain.epochs=2"]
    with ThreadPoolExecutor(10) as pool:
        answers = list(pool.map(lambda _: cluster.submit("pretrain", *arguments), range(10)))

    assert [answer.returncode for answer in answers] == [0] * 10, [answer.stderr for answer in answers]
    assert len({str(result_of(answer)["submission_id"]) for answer in answers}) == 1
    done = cluster.submit("pretrain", *arguments, "--follow")
    assert done.returncode == 0, done.stderr
    attempts = list((cluster.folder / "ten" / "pretrain" / "checkpoints").glob("attempt-*"))
    assert len(attempts) == 1
    with contextlib.closing(sqlite3.connect(cluster.folder / "m.db")) as database:
        runs = database.execute("select count(*) from runs where name = 'ten'").fetchone()
    assert runs == (1,)


@pytest.mark.slow
def test_following_a_job_that_fails_ends_with_its_exit_code(cluster: Cluster) -> None:
    done = cluster.submit("pretrain", "data.path=/nowhere", f"out={cluster.folder}/bad", "--follow")

    assert done.returncode == 65
    assert "DATA_MANIFEST" in done.stderr


@pytest.mark.slow
def test_a_stopped_job_leaves_a_checkpoint_and_goes_on_when_submitted_again(cluster: Cluster, ingested: Path) -> None:
    arguments = [f"data.path={ingested}/data", f"out={cluster.folder}/stopped", "pretrain.epochs=60"]
    checkpoints = cluster.folder / "stopped" / "pretrain" / "checkpoints"
    assert result_of(cluster.submit("pretrain", *arguments))["status"] in {"pending", "running"}
    deadline = time.monotonic() + 120
    while not any(checkpoints.glob("step-*")):
        assert time.monotonic() < deadline, cluster.submit("pretrain", *arguments, "--status").stdout
        time.sleep(0.1)

    stopped = cluster.submit("pretrain", *arguments, "--stop")
    while (status := result_of(cluster.submit("pretrain", *arguments, "--status"))["status"]) == "running":
        assert time.monotonic() < deadline

    assert stopped.returncode == 0, stopped.stderr
    assert status == "stopped"
    assert json.loads((cluster.folder / "stopped" / "result.json").read_text())["status"] == "stopped"
    again = result_of(cluster.submit("pretrain", *arguments))
    assert again["status"] in {"pending", "running"}
    assert cluster.submit("pretrain", *arguments, "--stop").returncode == 0
