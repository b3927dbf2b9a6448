"""kindred submit against a real Ray head on loopback: once however often, followed, stopped, with its exit code."""

import contextlib
import json
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.e2e.conftest import RECIPE, result_of
from tests.e2e.ray_cluster import Cluster, ray_cluster
from tests.wait_for import wait_for

pytestmark = pytest.mark.ray
ANSWER_S = 30  # 5 on a machine without other work
SUBMIT_AT_A_SIGN = """
import sys, time; from pathlib import Path
import jobs.submit, jobs.typed_recipe, ray.job_submission; from jobs.__main__ import main
Path(sys.argv[1]).touch()
while not Path(sys.argv[2]).exists():
    time.sleep(0.01)
began = time.monotonic(); code = main(sys.argv[3:]); print("seconds", time.monotonic() - began); sys.exit(code)
"""


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    with ray_cluster() as made:
        yield made


@contextlib.contextmanager
def _together(cluster: Cluster, words: list[str], count: int) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that load everything, wait for each other, and then submit at once. Each says last how many seconds
    that took: ten interpreters that start at once say nothing of a submission."""
    ready, go = cluster.folder / "ready", cluster.folder / "go"
    ready.mkdir()
    started = [
        subprocess.Popen(
            [sys.executable, "-c", SUBMIT_AT_A_SIGN, str(ready / str(number)), str(go), *words],
            cwd=cluster.folder, env=cluster.environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        )
        for number in range(count)
    ]  # fmt: skip
    try:
        wait_for(lambda: len(list(ready.iterdir())) == count, seconds=300)
        go.touch()
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


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
    words = cluster.submission("pretrain", *arguments)
    with _together(cluster, words, 10) as submissions:
        answers = [(*submission.communicate(timeout=200), submission.returncode) for submission in submissions]

    assert [code for _, _, code in answers] == [0] * 10, [err for _, err, _ in answers]
    replies = [out.splitlines()[-2:] for out, _, _ in answers]
    assert len({json.loads(result)["submission_id"] for result, _ in replies}) == 1
    assert max(float(took.removeprefix("seconds ")) for _, took in replies) < ANSWER_S
    done = cluster.submit("pretrain", *arguments, "--follow")
    assert done.returncode == 0, done.stderr
    attempts = list((cluster.folder / "ten" / "pretrain" / "checkpoints").glob("attempt-*"))
    assert len(attempts) == 1
    with contextlib.closing(sqlite3.connect(cluster.folder / "mlflow.db")) as database:
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
