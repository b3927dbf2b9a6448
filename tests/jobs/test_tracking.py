import os
import signal
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from jobs._delivery import Delivery, spool_path, tracking_folder
from jobs._mlflow import tracking_uri
from jobs._tracking import RunIdentity, Tracking, tracked, write_header
from jobs.sync import sync
from pipeline.errors import Preempted, TrackingError, TrainingHealthError
from pipeline.tracking import read_spool
from tests.wait_for import wait_for

IDENTITY = RunIdentity("project", "demo", "k" * 64, {})
NOBODY = "http://127.0.0.1:9"
DRIVER = """
import sys
from pathlib import Path
from jobs._tracking import RunIdentity, tracked
with tracked(Path(sys.argv[1]), RunIdentity("project", "demo", "k", {}), uri=sys.argv[2]) as tracking:
    with tracking.stage("pretrain", job_key="p", prefix="pretrain/") as run:
        for step in range(200):
            run.metrics({"loss/total": 1.0}, step)
        print("logged", flush=True)
        sys.stdin.read()
"""


def statuses(uri: str) -> dict[str, str]:
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        return dict(database.execute("select name, status from runs"))


def num_points(uri: str) -> int:
    with sqlite3.connect(uri.removeprefix("sqlite:///")) as database:
        return database.execute("select count(*) from metrics").fetchone()[0]


def last_values(folder: Path, stage: str) -> dict[str, object]:
    return dict(read_spool(spool_path(folder, stage))[0][-1].values)


def test_a_run_is_delivered_by_the_time_its_block_ends(tmp_path: Path, store_uri: str) -> None:
    with tracked(tmp_path / "out", IDENTITY, uri=store_uri, required=True) as tracking:
        with tracking.stage("pretrain", job_key="p", prefix="pretrain/") as run:
            run.metrics({"loss/total": 1.0}, 1)
        with pytest.raises(ValueError, match="boom"), tracking.stage("probe", job_key="q") as run:
            raise ValueError("boom")

    assert statuses(store_uri) == {"demo": "FINISHED", "pretrain": "FINISHED", "probe": "FAILED"}
    assert num_points(store_uri) == 1
    assert tracking.run_ids().keys() == {"run", "pretrain", "probe"}
    assert not list(tmp_path.glob("mlruns*"))


@pytest.mark.fault("M01")
def test_logging_never_waits_for_a_dead_server_and_sync_delivers_later(
    tmp_path: Path, store_uri: str, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "out"
    delivery_fails = pytest.raises(TrackingError, match="TRACK_UNDELIVERED")
    tracking_run = tracked(folder, IDENTITY, uri=NOBODY, required=True)
    with delivery_fails, tracking_run as tracking, tracking.stage("pretrain", job_key="p") as run:
        started = time.perf_counter()
        for step in range(500):
            run.metrics({"loss": 1.0}, step)
        seconds = time.perf_counter() - started

    assert seconds < 2
    assert f"kindred sync {folder}" in caplog.text
    assert "127.0.0.1:9" in (tracking_folder(folder) / "sidecar.log").read_text()
    result = sync(folder, store_uri)
    assert result["points"] == num_points(store_uri) == 500
    assert statuses(store_uri) == {"demo": "FINISHED", "pretrain": "FINISHED"}


def _sidecars() -> list[psutil.Process]:
    return [child for child in psutil.Process().children() if "jobs._sidecar" in child.cmdline()]


@pytest.mark.fault("P08")
def test_a_preempted_job_does_not_wait_for_a_store_that_hangs(tmp_path: Path, store_uri: str) -> None:
    preempted = pytest.raises(Preempted)
    with preempted, tracked(tmp_path / "out", IDENTITY, uri=store_uri) as tracking:
        tracking.run.metrics({"loss": 1.0}, 1)
        wait_for(lambda: bool(_sidecars()))  # a process that has just been made has no command line for a moment
        (sidecar,) = _sidecars()
        sidecar.suspend()
        asked = time.monotonic()
        raise Preempted("stopped after step 1", code="PREEMPTED")

    assert time.monotonic() - asked < 10
    assert not sidecar.is_running()
    sync(tmp_path / "out", store_uri)
    assert num_points(store_uri) == 1


@pytest.mark.fault("M05", "M10")
def test_the_sidecar_outlives_a_killed_driver_and_delivers_the_rest(tmp_path: Path, store_uri: str) -> None:
    folder = tmp_path / "out"
    with subprocess.Popen(
        [sys.executable, "-c", DRIVER, str(folder), store_uri], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        assert driver.stdout is not None
        assert driver.stdout.readline() == "logged\n"
        (sidecar,) = psutil.Process(driver.pid).children()
        os.kill(driver.pid, signal.SIGKILL)
        sidecar.wait()

    assert statuses(store_uri) == {"demo": "KILLED", "pretrain": "KILLED"}
    assert num_points(store_uri) == 200


@pytest.mark.parametrize(
    ("error", "status", "reason"),
    [
        (Preempted("stopped after step 7", code="STOPPED"), "KILLED", "STOPPED: stopped after step 7"),
        (KeyboardInterrupt(), "KILLED", "KeyboardInterrupt"),
        (TrainingHealthError("loss is nan", code="NAN"), "FAILED", "NAN: loss is nan"),
        (ZeroDivisionError("x"), "FAILED", "ZeroDivisionError"),
    ],
)
def test_how_a_stage_ended(tmp_path: Path, error: BaseException, status: str, reason: str) -> None:
    with pytest.raises(type(error)), Tracking(tmp_path).stage("pretrain", job_key="p"):
        raise error

    assert last_values(tmp_path, "pretrain") == {"status": status, "reason": reason}


def test_a_restart_keeps_the_identity_of_the_first_start(tmp_path: Path, store_uri: str) -> None:
    write_header(tmp_path, IDENTITY, uri=store_uri)
    before = (tracking_folder(tmp_path) / "run.json").read_text()

    write_header(tmp_path, RunIdentity("other", "name", "z", {}), uri=NOBODY)

    assert (tracking_folder(tmp_path) / "run.json").read_text() == before


def test_sync_repairs_a_store_that_went_back_in_time(tmp_path: Path, store_uri: str) -> None:
    write_header(tmp_path, IDENTITY, uri=store_uri)
    with Tracking(tmp_path).stage("pretrain", job_key="p") as run:
        for step in range(30):
            run.metrics({"loss": float(step)}, step)
    Delivery(tmp_path, store_uri).deliver()
    with sqlite3.connect(store_uri.removeprefix("sqlite:///")) as database:
        database.execute("delete from metrics where step > 11")  # as a backup put back would be

    sync(tmp_path)

    assert num_points(store_uri) == 30


@pytest.mark.fault("M10")
def test_sync_marks_a_stage_whose_process_died(tmp_path: Path, store_uri: str) -> None:
    write_header(tmp_path, IDENTITY, uri=store_uri)
    Tracking(tmp_path).stage("pretrain", job_key="p").__enter__()

    sync(tmp_path)

    assert statuses(store_uri) == {"demo": "RUNNING", "pretrain": "KILLED"}
    assert last_values(tmp_path, "pretrain")["status"] == "KILLED"


def test_where_runs_go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert tracking_uri() == f"sqlite:///{tmp_path}/mlflow.db"
    assert tracking_uri("sqlite:///sub/x.db") == f"sqlite:///{tmp_path}/sub/x.db"
    assert tracking_uri(default="sqlite:////elsewhere/y.db") == "sqlite:////elsewhere/y.db"

    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://server:5000")
    assert tracking_uri() == tracking_uri(default="sqlite:///y.db") == "http://server:5000"
    assert tracking_uri("sqlite:////x.db") == "sqlite:////x.db"
