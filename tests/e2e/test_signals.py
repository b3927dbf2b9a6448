"""Signals of a terminal and outputs that nobody reads any more: consistent, resumed exactly, and no traceback."""

import json
import os
import signal
import subprocess
from pathlib import Path

import psutil
import pytest

from tests.e2e.conftest import command, ended, environment, kindred, result_of, start, verify_run, wait_until
from tests.wait_for import wait_for

pytestmark = pytest.mark.fault("P09")
Result = dict[str, object]


def _checkpoints(workplace: Path) -> list[Path]:
    return sorted((workplace / "run" / "pretrain" / "checkpoints").glob("step-*"))


@pytest.fixture(scope="module")
def undisturbed(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Result:
    folder = tmp_path_factory.mktemp("undisturbed")
    return result_of(kindred("pretrain", f"out={folder}/run", f"data.path={ingested}/data", folder=folder))


def _is_whole_and_goes_on(workplace: Path, undisturbed: Result) -> bool:
    """Proved as it is, and after the same command ended as an undisturbed one does."""
    assert verify_run("run", folder=workplace).returncode == 0
    again = result_of(kindred("pretrain", "out=run", folder=workplace))
    return all(again[key] == undisturbed[key] for key in ("state_hash", "ledger_sha256"))


def test_an_interrupt_leaves_a_checkpoint_of_its_step(workplace: Path, undisturbed: Result) -> None:
    process = start("pretrain", "out=run", folder=workplace)
    wait_until(process, lambda: bool(_checkpoints(workplace)))
    process.send_signal(signal.SIGINT)
    done = ended(process)

    assert done.returncode == 130, done.stderr
    assert result_of(done)["status"] == "stopped"
    assert f"stopped after step {int(_checkpoints(workplace)[-1].name[5:])} of 16" in done.stderr
    assert _is_whole_and_goes_on(workplace, undisturbed)


@pytest.mark.slow
def test_a_second_interrupt_ends_at_once(workplace: Path, undisturbed: Result) -> None:
    done = next(filter(None, (_interrupted_twice(workplace) for _ in range(3))), None)

    assert done is not None, "each time the first interrupt was answered before the second came"
    assert done.returncode == 130, done.stderr
    assert "Traceback" not in done.stderr
    assert _is_whole_and_goes_on(workplace, undisturbed)


def _interrupted_twice(workplace: Path) -> subprocess.CompletedProcess[str] | None:
    """The second interrupt comes while the first is answered. None where that took less time than noticing it."""
    before = _checkpoints(workplace)
    process = start("pretrain", "out=run", folder=workplace)
    wait_until(process, lambda: _checkpoints(workplace) != before)
    process.send_signal(signal.SIGINT)
    wait_for(lambda: (workplace / "run" / "pretrain" / "STOP").exists() or process.poll() is not None)
    process.send_signal(signal.SIGSTOP)
    process.send_signal(signal.SIGINT)
    answered = process.poll() is not None
    process.send_signal(signal.SIGCONT)
    done = ended(process)
    return None if answered else done


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.parametrize(("number", "code"), [(signal.SIGTERM, 75), (signal.SIGINT, 130)])
def test_a_signal_while_ray_starts_is_said_and_leaves_no_daemon(workplace: Path, number: int, code: int) -> None:
    process = start("pretrain", "out=run", "pretrain.workers=1", folder=workplace)
    driver = psutil.Process(process.pid)
    wait_until(process, lambda: any(child.name() == "gcs_server" for child in driver.children()))
    started = driver.children(recursive=True)
    process.send_signal(number)
    done = ended(process)

    assert done.returncode == code, done.stderr
    assert "PREEMPTED: stopped while Ray started" in done.stderr
    assert result_of(done) == json.loads((workplace / "run" / "result.json").read_text())
    assert not [daemon for daemon in started if daemon.is_running()]


@pytest.mark.slow
def test_a_terminal_that_hangs_up_ends_it_without_harm(workplace: Path, undisturbed: Result) -> None:
    process = start("pretrain", "out=run", folder=workplace)
    wait_until(process, lambda: bool(_checkpoints(workplace)))
    process.send_signal(signal.SIGHUP)

    assert ended(process).returncode == -signal.SIGHUP
    assert _is_whole_and_goes_on(workplace, undisturbed)


@pytest.mark.slow
def test_a_job_that_ignores_the_hang_up_outlives_its_terminal(workplace: Path, undisturbed: Result) -> None:
    terminal, its_side = os.openpty()
    process = subprocess.Popen(
        ["nohup", *command("pretrain", "out=run")],
        cwd=workplace, env=environment(workplace),
        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=its_side, text=True, start_new_session=True,
    )  # fmt: skip
    os.close(its_side)
    wait_until(process, lambda: bool(_checkpoints(workplace)))
    os.close(terminal)

    assert process.wait(timeout=120) == 0
    assert _is_whole_and_goes_on(workplace, undisturbed)


@pytest.mark.slow
def test_a_terminal_that_goes_away_without_a_signal_ends_nothing(workplace: Path, undisturbed: Result) -> None:
    terminal, its_side = os.openpty()
    process = subprocess.Popen(
        command("pretrain", "out=run"), cwd=workplace, env=environment(workplace),
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=its_side, text=True, start_new_session=True,
    )  # fmt: skip
    os.close(its_side)
    wait_until(process, lambda: bool(_checkpoints(workplace)))
    os.close(terminal)
    done = ended(process)

    assert done.returncode == 0
    assert result_of(done)["state_hash"] == undisturbed["state_hash"]


@pytest.mark.slow
@pytest.mark.parametrize("both", [False, True])
def test_a_reader_that_leaves_after_a_line_is_no_traceback(workplace: Path, undisturbed: Result, both: bool) -> None:
    shell = 'set -o pipefail; "$@" 2>&1 | head -n 1 >/dev/null' if both else 'set -o pipefail; "$@" | head -c 0'
    done = subprocess.run(
        ["bash", "-c", shell, "bash", *command("pretrain", "out=run")],
        cwd=workplace, env=environment(workplace), capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip

    assert done.returncode == 128 + signal.SIGPIPE, done.stderr
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
    assert _is_whole_and_goes_on(workplace, undisturbed)
