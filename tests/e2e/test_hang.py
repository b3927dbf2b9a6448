"""A stopped worker is found, the group restarts, and the bits are those of an undisturbed run."""

import signal
import subprocess
import time
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import command, environment, kindred, result_of


@pytest.mark.ray
@pytest.mark.slow
def test_a_stopped_worker_is_found_and_nothing_is_lost(workplace: Path) -> None:
    expected = result_of(kindred("pretrain", "out=whole", f"data.path={workplace}/run/data", folder=workplace))
    process = subprocess.Popen(
        command("pretrain", "out=run", "pretrain.workers=2", "pretrain.hang_after_s=5"),
        cwd=workplace,
        env=environment(workplace),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    while not list((workplace / "run" / "pretrain" / "checkpoints").glob("step-*")):
        assert process.poll() is None
        time.sleep(0.02)
    stopped = ray_workers(process.pid)[1]
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


def ray_workers(driver: int) -> list[psutil.Process]:
    """The training workers of a driver's private Ray."""
    children = psutil.Process(driver).children(recursive=True)
    return sorted((c for c in children if "RayTrainWorker" in " ".join(c.cmdline())), key=lambda c: c.pid)
