"""Ray Train's controller is killed: the driver connects anew by itself, unless it was also told to stop."""

import random
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import command, environment, kindred, result_of
from tests.faults.chaos_faults import Job, controller_killed
from tests.wait_for import wait_for

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(600)]
LONG = "pretrain.epochs=10"


def _without_controller(workplace: Path, *, stop: bool) -> subprocess.CompletedProcess[str]:
    """A job whose controller is killed after its first checkpoint, and which gets SIGTERM at once or never."""
    folder = workplace / "run"
    with (workplace / "out").open("w") as out, (workplace / "err").open("w") as err:
        process = psutil.Popen(
            command("pretrain", f"out={folder}", LONG, "pretrain.workers=1"),
            cwd=workplace,
            env=environment(workplace),
            stdout=out,
            stderr=err,
        )
    wait_for(lambda: any((folder / "pretrain" / "checkpoints").glob("step-*")), seconds=200)
    assert controller_killed(Job(process, folder, workplace / "mlflow.db", random.Random(0)))
    if stop:
        process.send_signal(signal.SIGTERM)
    code = process.wait(timeout=300)
    texts = [(workplace / name).read_text() for name in ("out", "err")]
    return subprocess.CompletedProcess(process.args, code, *texts)


@pytest.mark.parametrize("stop", [False, True])
@pytest.mark.fault("P03")
def test_a_killed_controller_costs_no_bit(workplace: Path, stop: bool) -> None:
    expected = result_of(kindred("pretrain", "out=whole", LONG, f"data.path={workplace}/run/data", folder=workplace))
    done = _without_controller(workplace, stop=stop)
    if stop:
        assert done.returncode == 75, done.stderr
        assert "connecting anew" not in done.stderr
        done = kindred("pretrain", f"out={workplace}/run", LONG, "pretrain.workers=0", folder=workplace)
    else:
        assert "connecting anew" in done.stderr

    assert done.returncode == 0, done.stderr
    assert result_of(done)["state_hash"] == expected["state_hash"]
