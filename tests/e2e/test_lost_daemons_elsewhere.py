"""The raylet or the control store is killed under an ingest: it says so; the same command makes the same data set."""

import random
import signal
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import command, environment, kindred
from tests.faults.chaos_faults import Job
from tests.pipeline.data.folder_digest import digest
from tests.wait_for import wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600), pytest.mark.fault("P05")]
MANY = ["data.generate.num_subjects=12", "data.generate.sessions_per_subject=4", "data.ingest.unit_records=4"]


@pytest.mark.parametrize("killed", ["raylet/raylet", "gcs_server"])
def test_an_ingest_that_loses_a_daemon_says_so_and_goes_on(tmp_path: Path, killed: str) -> None:
    (tmp_path / "whole").mkdir()
    whole = kindred("ingest", "out=run", *MANY, folder=tmp_path / "whole")
    assert whole.returncode == 0, whole.stderr
    given, run = command("ingest", "out=run", *MANY, "data.workers=2"), tmp_path / "run"
    with (tmp_path / "err").open("w") as err:
        driver = psutil.Popen(given, cwd=tmp_path, env=environment(tmp_path), stdout=err, stderr=err)
    job = Job(driver, run, tmp_path / "mlflow.db", random.Random(0))
    wait_for(lambda: bool(job.children("ray::_write")), seconds=200)
    assert job.send(signal.SIGKILL, killed)

    assert driver.wait(timeout=120) == 75, (tmp_path / "err").read_text()
    assert "RAY_LOST" in (tmp_path / "err").read_text()
    assert "Traceback" not in (tmp_path / "err").read_text()
    again = kindred("ingest", "out=run", *MANY, "data.workers=2", folder=tmp_path)
    assert again.returncode == 0, again.stderr
    assert digest(run / "data") == digest(tmp_path / "whole" / "run" / "data")
