"""kill -9 in mid-epoch, the same command again: the final state is the one of an undisturbed run, bit for bit."""

import signal
from pathlib import Path

import pytest

from tests.e2e.conftest import kill_when, kindred, result_of


def _checkpoints(workplace: Path) -> list[str]:
    return sorted(path.name for path in (workplace / "run" / "pretrain" / "checkpoints").glob("step-*"))


@pytest.fixture(scope="module")
def undisturbed(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = tmp_path_factory.mktemp("undisturbed")
    done = kindred("pretrain", f"out={folder}/run", f"data.path={ingested}/data", folder=folder)
    assert done.returncode == 0, done.stderr
    return result_of(done)["state_hash"]


def test_killed_in_process(workplace: Path, undisturbed: object) -> None:
    killed = kill_when("pretrain", "out=run", folder=workplace, ready=lambda: len(_checkpoints(workplace)) >= 2)
    assert killed.returncode == -signal.SIGKILL

    done = kindred("pretrain", "out=run", folder=workplace)

    assert done.returncode == 0, done.stderr
    assert result_of(done)["state_hash"] == undisturbed


def test_terminated_leaves_a_checkpoint_and_exit_code_75(workplace: Path, undisturbed: object) -> None:
    stopped = kill_when(
        "pretrain", "out=run", folder=workplace, ready=lambda: bool(_checkpoints(workplace)), number=signal.SIGTERM
    )
    assert stopped.returncode == 75, stopped.stderr
    assert result_of(stopped)["status"] == "stopped"

    done = kindred("pretrain", "out=run", folder=workplace)

    assert result_of(done)["state_hash"] == undisturbed


@pytest.mark.ray
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


@pytest.mark.ray
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
