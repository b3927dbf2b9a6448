"""A tiny ingested data set that every end-to-end test of the session shares, and the command line as users type it."""

import contextlib
import json
import os
import shutil
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.wait_for import wait_for

RECIPE = Path(__file__).parent / "tiny.yaml"
ROOT = Path(__file__).parents[2]


def command(verb: str, *arguments: str, recipe: Path = RECIPE) -> list[str]:
    return [sys.executable, "-m", "jobs", verb, str(recipe), *arguments, "--json"]


def environment(folder: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "OMP_NUM_THREADS": "1",
        "MLFLOW_TRACKING_URI": f"sqlite:///{folder}/mlflow.db",
        "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.1",
    }


def kindred(verb: str, *arguments: str, folder: Path, recipe: Path = RECIPE) -> subprocess.CompletedProcess[str]:
    """Run to the end in `folder`."""
    given = command(verb, *arguments, recipe=recipe)
    return subprocess.run(given, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)


def verify_run(run: str, *, folder: Path) -> subprocess.CompletedProcess[str]:
    """The proof of a run's ledger."""
    given = [sys.executable, "-m", "jobs", "verify", run, "--json"]
    return subprocess.run(given, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)


def result_of(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    """The JSON object of the last line."""
    assert done.stdout, done.stderr
    return json.loads(done.stdout.splitlines()[-1])


def start(verb: str, *arguments: str, folder: Path, recipe: Path = RECIPE) -> subprocess.Popen[str]:
    """Leave it running in a session of its own."""
    return subprocess.Popen(
        command(verb, *arguments, recipe=recipe),
        cwd=folder,
        env=environment(folder),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_until(process: subprocess.Popen[str], ready: Callable[[], bool]) -> None:
    """Return as soon as `ready`; fails where the process ends before."""

    def alive_and_ready() -> bool:
        if ready():
            return True
        assert process.poll() is None, f"ended with {process.returncode}: {process.communicate()[1]}"
        return False

    wait_for(alive_and_ready, seconds=200)


def ended(process: subprocess.Popen[str]) -> subprocess.CompletedProcess[str]:
    """Wait for the end."""
    out, err = process.communicate(timeout=120)
    return subprocess.CompletedProcess(process.args, process.returncode, out, err)


def kill_when(
    verb: str,
    *arguments: str,
    folder: Path,
    ready: Callable[[], bool],
    number: int = signal.SIGKILL,
    recipe: Path = RECIPE,
) -> subprocess.CompletedProcess[str]:
    """Start, send a signal as soon as `ready`, wait for the end."""
    process = start(verb, *arguments, folder=folder, recipe=recipe)
    wait_until(process, ready)
    process.send_signal(number)
    return ended(process)


def tracked_runs(folder: Path) -> dict[str, str]:
    """Name -> status of every run in the MLflow database of `folder`, which has no name twice."""
    with contextlib.closing(sqlite3.connect(folder / "mlflow.db")) as database:
        runs = database.execute("select name, status from runs").fetchall()
    assert len(dict(runs)) == len(runs), runs
    return dict(runs)


@pytest.fixture(scope="session")
def ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder with raw files and data set of the tiny recipe."""
    folder = tmp_path_factory.mktemp("tiny")
    done = kindred("ingest", f"out={folder}/run", folder=folder)
    assert done.returncode == 0, done.stderr
    return folder / "run"


@pytest.fixture
def workplace(ingested: Path, tmp_path: Path) -> Path:
    """A fresh working folder with the ingested data set in place."""
    shutil.copytree(ingested, tmp_path / "run")
    return tmp_path
