"""kill -9 in mid-epoch, the same command again: the final state is the one of an undisturbed run, bit for bit."""

import getpass
import os
import resource
import signal
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from jobs._left_behind import ENDED_NAME, KEPT_SESSIONS
from jobs._run_folder import RunFolder
from tests.e2e.conftest import ended, kill_when, kindred, result_of, start, tracked_runs, wait_until
from tests.wait_for import wait_for

pytestmark = pytest.mark.timeout(900)  # several starts of Ray in one test: minutes each beside much other work


def _checkpoints(workplace: Path) -> list[str]:
    return sorted(path.name for path in (workplace / "run" / "pretrain" / "checkpoints").glob("step-*"))


def _processor_s() -> float:
    """Of all commands that have ended: what else runs here does not matter."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


@pytest.fixture(scope="module")
def undisturbed(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = kindred("pretrain", f"out={folder}/run", f"data.path={ingested}/data", folder=folder)
    assert done.returncode == 0, done.stderr
    return result_of(done)["state_hash"]


@pytest.mark.fault("P04")
def test_killed_in_process(workplace: Path, undisturbed: object) -> None:
    killed = kill_when("pretrain", "out=run", folder=workplace, ready=lambda: len(_checkpoints(workplace)) >= 2)
    assert killed.returncode == -signal.SIGKILL

    done = kindred("pretrain", "out=run", folder=workplace)

    assert done.returncode == 0, done.stderr
    assert result_of(done)["state_hash"] == undisturbed
    assert tracked_runs(workplace) == dict.fromkeys(("run", "ingest", "pretrain"), "FINISHED")


@pytest.mark.fault("P08")
def test_terminated_leaves_a_checkpoint_and_exit_code_75(workplace: Path, undisturbed: object) -> None:
    process = start("pretrain", "out=run", folder=workplace)
    wait_until(process, lambda: bool(_checkpoints(workplace)))
    process.terminate()
    asked = time.monotonic()
    stopped = ended(process)

    assert time.monotonic() - asked < 30  # 10 on a machine without other work
    assert stopped.returncode == 75, stopped.stderr
    assert result_of(stopped)["status"] == "stopped"

    done = kindred("pretrain", "out=run", folder=workplace)

    assert result_of(done)["state_hash"] == undisturbed


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.fault("P04")
def test_killed_on_two_ray_workers_equals_one_process(workplace: Path, undisturbed: object) -> None:
    killed = kill_when(
        "pretrain", "out=run", "pretrain.workers=2", folder=workplace, ready=lambda: len(_checkpoints(workplace)) >= 2
    )
    assert killed.returncode == -signal.SIGKILL

    done = kindred("pretrain", "out=run", "pretrain.workers=2", folder=workplace)

    assert done.returncode == 0, done.stderr
    assert result_of(done)["state_hash"] == undisturbed


@pytest.mark.fault("P19")
def test_a_finished_command_does_nothing_and_another_configuration_is_refused(
    workplace: Path, undisturbed: object
) -> None:
    first = kindred("pretrain", "out=run", folder=workplace)
    spool = (workplace / "run" / "tracking" / "pretrain.jsonl").read_bytes()
    again = kindred("pretrain", "out=run", "pretrain.log_every=5", folder=workplace)
    other = kindred("pretrain", "out=run", "pretrain.optim.learning_rate=0.5", folder=workplace)
    forked = kindred("pretrain", "out=run", "pretrain.epochs=1", "--fork", "short", folder=workplace)

    assert result_of(again)["state_hash"] == result_of(first)["state_hash"] == undisturbed
    assert (workplace / "run" / "tracking" / "pretrain.jsonl").read_bytes() == spool
    assert other.returncode == 64
    assert "learning_rate: 0.001 -> 0.5" in other.stderr
    assert forked.returncode == 0, forked.stderr
    assert (workplace / "run-short" / "pretrain" / "result.json").exists()


@pytest.mark.fault("P17")
def test_a_second_job_in_the_folder_is_refused_and_costs_the_first_nothing(
    workplace: Path, undisturbed: object
) -> None:
    folder = RunFolder(workplace / "run")
    elsewhere = folder.run_ids()["run"]  # of the store of the ingest, whose folder this is a copy of
    first = start("pretrain", "out=run", folder=workplace)
    wait_until(first, lambda: bool(_checkpoints(workplace)))
    first.send_signal(signal.SIGSTOP)
    began = _processor_s()
    wait_for(lambda: folder.run_ids()["run"] != elsewhere)
    second = kindred("pretrain", "out=run", "pretrain.optim.learning_rate=0.5", folder=workplace)
    took = _processor_s() - began
    first.send_signal(signal.SIGCONT)
    done = ended(first)

    assert second.returncode == 73, second.stderr
    holder = f"pid {first.pid} on {os.uname().nodename}, MLflow run {folder.run_ids()['run']}"
    assert f"OUT_LOCKED: run is in use by {holder}" in second.stderr
    assert took < 10
    assert done.returncode == 0, done.stderr
    assert result_of(done)["state_hash"] == undisturbed


@pytest.mark.slow
@pytest.mark.ray
@pytest.mark.fault("P08")
def test_terminated_on_ray_leaves_a_checkpoint_and_exit_code_75(workplace: Path, undisturbed: object) -> None:
    stopped = kill_when(
        "pretrain",
        "out=run",
        "pretrain.workers=2",
        folder=workplace,
        ready=lambda: bool(_checkpoints(workplace)),
        number=signal.SIGTERM,
    )
    assert stopped.returncode == 75, stopped.stderr

    done = kindred("pretrain", "out=run", folder=workplace)

    assert result_of(done)["state_hash"] == undisturbed


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_what_kills_leave_behind_keeps_no_restart_away_and_does_not_pile_up(
    workplace: Path, temporary: Path, undisturbed: object
) -> None:
    given = ["out=run", "pretrain.workers=2", "pretrain.checkpoint_every=1"]
    before = set(Path("/dev/shm").iterdir())
    for number in range(1, KEPT_SESSIONS + 2):
        killed = kill_when(
            "pretrain", *given, folder=workplace, ready=lambda number=number: len(_attempts(workplace)) == number
        )
        assert killed.returncode == -signal.SIGKILL

    done = kindred("pretrain", *given, folder=workplace)

    assert done.returncode == 0, done.stderr
    assert result_of(done)["state_hash"] == undisturbed
    wait_for(lambda: _left_by_ray(temporary) <= {"logs", ENDED_NAME})
    torch_makes = {f"torchinductor_{getpass.getuser()}"}  # as soon as there is an optimizer, always the same
    assert {path.name for path in temporary.iterdir()} - torch_makes == {"ray"}
    assert len(list((temporary / "ray").glob("session_2*"))) == KEPT_SESSIONS
    wait_for(lambda: set(Path("/dev/shm").iterdir()) <= before)


def _left_by_ray(temporary: Path) -> set[str]:
    """Names of what its sessions hold, files with the numbers of ports aside."""
    return {path.name for path in temporary.glob("ray/session_2*/*") if path.is_dir() or path.name == ENDED_NAME}


@pytest.fixture
def temporary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Folder for temporary files of all that is started, with a name as short as Ray's sockets need."""
    with tempfile.TemporaryDirectory(prefix="k", dir="/tmp", ignore_cleanup_errors=True) as folder:
        monkeypatch.setenv("TMPDIR", folder)
        yield Path(folder)


def _attempts(workplace: Path) -> list[Path]:
    return list((workplace / "run" / "pretrain" / "checkpoints").glob("attempt-*"))
