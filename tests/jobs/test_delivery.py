import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient

from jobs._delivery import Delivery, sole_sender, spool_path
from pipeline.errors import OutputError
from pipeline.tracking import Spool
from tests.jobs.tracked_folder import log_steps, points, runs

DYING_SENDER = """
import os, sys
from pathlib import Path
from jobs._delivery import Delivery
from jobs._mlflow import MlflowStore
class DyingStore(MlflowStore):
    def metrics(self, run_id, points):
        super().metrics(run_id, points[:1300])
        os.kill(os.getpid(), 9)
delivery = Delivery(Path(sys.argv[1]), sys.argv[2])
delivery._store = DyingStore(sys.argv[2])
delivery._deliver(delivery._store, "pretrain")
"""


def test_parent_and_children_arrive_with_everything_they_carry(run_folder: Path, store_uri: str) -> None:
    (run_folder / "figure.png").write_bytes(b"png")
    log_steps(run_folder, range(3))
    spool = Spool(spool_path(run_folder, "pretrain"))
    spool.params({"epochs": 3, "long": "x" * 7000, "objectives": ["intra"]})
    spool.tags({"kindred.job_key": "pretrain-key"})
    spool.dataset(name="planted", digest="f" * 64, source="/data/planted")
    spool.artifact(run_folder / "figure.png", "figures/loss terms.png")
    spool.status("FINISHED")

    assert Delivery(run_folder, store_uri).deliver() == 3

    client, ids = MlflowClient(store_uri), runs(store_uri)
    child = client.get_run(ids["pretrain"])
    assert ids.keys() == {"demo", "pretrain"}
    assert child.data.tags["mlflow.parentRunId"] == ids["demo"]
    assert child.data.tags["kindred.stage"] == "pretrain"
    assert child.data.tags["kindred.job_key"] == "pretrain-key"
    assert child.data.tags["mlflow.source.git.commit"] == "abc"
    assert child.data.params["epochs"] == "3"
    assert child.data.params["objectives"] == '["intra"]'
    assert "(7000 characters, sha256 " in child.data.params["long"]
    assert child.info.status == "FINISHED"
    assert [(d.dataset.name, d.dataset.digest) for d in child.inputs.dataset_inputs] == [("planted", "f" * 36)]
    history = client.get_metric_history(ids["pretrain"], "pretrain/loss/total")
    assert [(point.step, point.value) for point in history] == [(0, 1.0), (1, 0.5), (2, 1 / 3)]
    assert [file.path for file in client.list_artifacts(ids["pretrain"], "figures")] == ["figures/loss terms.png"]
    assert client.get_run(ids["demo"]).info.status == "RUNNING"


def test_artifacts_lie_beside_the_database_with_their_checksums(
    run_folder: Path, store_uri: str, tmp_path: Path
) -> None:
    (run_folder / "report.html").write_text("<p>")
    Spool(spool_path(run_folder, "run")).artifact(run_folder / "report.html", "report.html")

    Delivery(run_folder, store_uri).deliver()

    stored = {path.name: path.read_text() for path in (tmp_path / "mlartifacts" / "project").rglob("*.*")}
    assert stored["report.html"] == "<p>"
    assert json.loads(stored["checksums.json"]).keys() == {"report.html"}


def test_delivering_twice_or_after_a_lost_reply_stores_every_point_once(run_folder: Path, store_uri: str) -> None:
    log_steps(run_folder, range(5), names=("a", "b"))
    Delivery(run_folder, store_uri).deliver()
    Delivery(run_folder, store_uri).deliver()
    (run_folder / "tracking" / "sent.json").unlink()  # as if no reply had ever come back
    log_steps(run_folder, range(5, 8), names=("a", "b"))

    Delivery(run_folder, store_uri).deliver()

    assert points(store_uri) == [(name, step) for name in "ab" for step in range(8)]
    assert len(runs(store_uri)) == 2


@pytest.mark.fault("M07")
def test_a_resume_that_logs_steps_again_adds_no_second_point(run_folder: Path, store_uri: str) -> None:
    delivery = Delivery(run_folder, store_uri)
    log_steps(run_folder, range(8))
    delivery.deliver()
    log_steps(run_folder, range(5, 12))
    delivery.deliver()
    log_steps(run_folder, range(10, 14))

    Delivery(run_folder, store_uri).deliver()

    assert points(store_uri) == [("pretrain/loss/total", step) for step in range(14)]


@pytest.mark.fault("M07")
def test_params_logged_again_are_no_error_and_a_changed_one_becomes_a_tag(run_folder: Path, store_uri: str) -> None:
    for log_every in (10, 10, 20):
        Spool(spool_path(run_folder, "run")).params({"log_every": log_every})
        Delivery(run_folder, store_uri).deliver()

    data = MlflowClient(store_uri).get_run(runs(store_uri)["demo"]).data
    assert data.params == {"log_every": "10"}
    assert data.tags["changed/log_every"] == "20"


@pytest.mark.fault("M05")
def test_a_killed_sender_loses_and_doubles_nothing(run_folder: Path, store_uri: str) -> None:
    names = tuple(f"probe/{number}" for number in range(10))
    log_steps(run_folder, range(300), names=names)
    subprocess.run([sys.executable, "-c", DYING_SENDER, str(run_folder), store_uri], check=False)
    arrived = len(points(store_uri))

    Delivery(run_folder, store_uri).deliver()

    assert arrived == 1300
    assert points(store_uri) == sorted((name, step) for name in names for step in range(300))
    assert len(runs(store_uri)) == 2


def test_nan_stays_and_infinity_becomes_a_gap_and_a_tag(run_folder: Path, store_uri: str) -> None:
    spool = Spool(spool_path(run_folder, "pretrain"))
    for step, value in enumerate([1.0, math.nan, math.inf, -math.inf]):
        spool.metrics({"loss": value}, step)

    Delivery(run_folder, store_uri).deliver()

    client, run = MlflowClient(store_uri), runs(store_uri)["pretrain"]
    assert [math.isnan(point.value) for point in client.get_metric_history(run, "loss")] == [False, True, True, True]
    assert client.get_run(run).data.tags["infinite/loss"] == "-inf at step 3"


def test_a_missing_artifact_is_named_and_does_not_hold_up_the_rest(
    run_folder: Path, store_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    spool = Spool(spool_path(run_folder, "pretrain"))
    spool.artifact(run_folder / "gone.png", "figures/gone.png")
    spool.metrics({"loss": 1.0}, 0)

    Delivery(run_folder, store_uri).deliver()

    assert points(store_uri) == [("loss", 0)]
    assert "gone.png" in caplog.text
    assert "kindred.missing/figures/gone.png" in MlflowClient(store_uri).get_run(runs(store_uri)["pretrain"]).data.tags


def test_a_moved_run_folder_continues_the_same_run(run_folder: Path, store_uri: str, tmp_path: Path) -> None:
    (run_folder / "a.txt").write_text("a")
    Spool(spool_path(run_folder, "pretrain")).artifact(run_folder / "a.txt", "a.txt")
    Delivery(run_folder, store_uri).deliver()
    moved = run_folder.rename(tmp_path / "elsewhere")
    Delivery(moved, store_uri).rewind()

    Delivery(moved, store_uri).deliver()

    assert len(runs(store_uri)) == 2
    assert "kindred.missing/a.txt" not in MlflowClient(store_uri).get_run(runs(store_uri)["pretrain"]).data.tags


def test_two_senders_at_once_are_refused(run_folder: Path) -> None:
    with sole_sender(run_folder), pytest.raises(OutputError, match="OUT_LOCKED"), sole_sender(run_folder):
        pass


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="OUT_NO_RUN"):
        Delivery(tmp_path, "sqlite:///x.db")
