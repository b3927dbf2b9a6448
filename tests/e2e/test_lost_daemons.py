"""The raylet, the control store or all of a private Ray is killed: the same command resumes, and nothing is left."""

import random
import signal
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import command, environment, kindred, result_of, tracked_runs
from tests.faults.chaos_faults import RAY_DAEMONS, Job
from tests.wait_for import wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.fault("P05")]
LONG = "pretrain.epochs=10"


@pytest.mark.parametrize("killed", [("raylet/raylet",), ("gcs_server",), RAY_DAEMONS])
def test_killed_daemons_cost_no_bit_and_leave_no_process(workplace: Path, killed: tuple[str, ...]) -> None:
    other = workplace / "other"
    other.mkdir()
    whole = kindred("pretrain", "out=whole", LONG, f"data.path={workplace}/run/data", folder=other)
    with (workplace / "out").open("w") as out, (workplace / "err").open("w") as err:
        given = command("pretrain", "out=run", LONG, "pretrain.workers=2")
        driver = psutil.Popen(given, cwd=workplace, env=environment(workplace), stdout=out, stderr=err)
    wait_for(lambda: any((workplace / "run/pretrain/checkpoints").glob("step-*")), seconds=200)
    below = driver.children(recursive=True)
    for daemon in Job(driver, workplace / "run", workplace / "mlflow.db", random.Random(0)).children(*killed):
        daemon.send_signal(signal.SIGKILL)
    code = driver.wait(timeout=300)
    _, left = psutil.wait_procs(below, timeout=30)

    assert code in (0, 75), (workplace / "err").read_text()
    assert "Traceback" not in (workplace / "err").read_text()
    assert [process.cmdline() for process in left] == []
    again = kindred("pretrain", "out=run", LONG, "pretrain.workers=2", folder=workplace)
    assert again.returncode == 0, again.stderr
    assert result_of(again)["state_hash"] == result_of(whole)["state_hash"]
    assert tracked_runs(workplace) == dict.fromkeys(("run", "ingest", "pretrain"), "FINISHED")
