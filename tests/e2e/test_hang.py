"""A stopped worker is found, the group restarts, and the bits are those of an undisturbed run."""

import random
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import command, environment, kindred, result_of
from tests.faults.chaos_faults import Job
from tests.wait_for import wait_for


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.fault("P10")
def test_a_stopped_worker_is_found_and_nothing_is_lost(workplace: Path) -> None:
    expected = result_of(kindred("pretrain", "out=whole", f"data.path={workplace}/run/data", folder=workplace))
    process = psutil.Popen(
        command("pretrain", "out=run", "pretrain.workers=2", "pretrain.hang_after_s=5"),
        cwd=workplace,
        env=environment(workplace),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    folder = workplace / "run"
    wait_for(lambda: any((folder / "pretrain" / "checkpoints").glob("step-*")), seconds=200)
    job = Job(process, folder, workplace / "mlflow.db", random.Random(0))
    stopped = job.children("RayTrainWorker")[1]
    stopped.send_signal(signal.SIGSTOP)
    out, err = process.communicate(timeout=200)

    assert process.returncode == 0, err
    assert "a step hung: rank-" in err
    written = [path.read_text() for path in (workplace / "run" / "pretrain" / "hangs").iterdir()]
    stacks = [text for text in written if text]  # a rank's file is there, and empty, from its first step on
    assert len(stacks) == 1
    assert "in gather" in stacks[0] or "in agree" in stacks[0]
    assert result_of(subprocess.CompletedProcess([], 0, out, err))["state_hash"] == expected["state_hash"]
    assert not stopped.is_running()
