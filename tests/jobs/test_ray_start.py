"""A Ray whose daemons are not up in time is started anew, and is a typed error in the end."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psutil
import pytest
from ray.exceptions import RaySystemError

from jobs._ray import Workers, launch
from pipeline.errors import ClusterLost, EnvironmentFault, Preempted
from tests.e2e.conftest import ROOT

MESSAGE = "The current node timed out during startup. This could happen because some processes failed.\nmore"
PLAIN, OF_RAY = Exception(MESSAGE), RaySystemError("Failed to connect to GCS")  # _private: node.py, state.py
OF_DAEMONS = RuntimeError("Failed to start GCS"), BlockingIOError(11, "no more processes")


@pytest.fixture
def starts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> list[object]:
    """Calls of a ray.init that fails by the parameter, or as Ray's does on a busy machine."""
    calls: list[object] = []

    def late(**given: object) -> None:
        calls.append(given["address"])
        session = tmp_path / "ray" / f"session_2026-01-01_00-00-00_{len(calls)}_{os.getpid()}"
        for name in ("logs", "sockets"):
            (session / name).mkdir(parents=True)
        orphan = f"sleep 600 & echo $! >> {tmp_path}/daemons"  # its parent is gone, as a raylet's agents are
        with (session / "logs" / "agent.log").open("w") as log:
            subprocess.run(["sh", "-c", orphan], check=True, stdout=log)
            child = subprocess.Popen(["sleep", "600"])
        with (tmp_path / "daemons").open("a") as daemons:
            daemons.write(f"{child.pid}\n")
        raise getattr(request, "param", PLAIN)

    monkeypatch.setattr(os, "environ", {**os.environ, "HOME": str(tmp_path)})
    for name in ("RAY_ADDRESS", "RAY_TMPDIR"):
        os.environ.pop(name, None)
    monkeypatch.setattr("jobs._ray_start._SOCKET_NAME_BYTES", 1000)  # no socket is made
    os.environ["TMPDIR"] = str(tmp_path)
    monkeypatch.setattr("ray.init", late)
    return calls


def test_it_is_started_anew_and_then_said_to_be_lost(starts: list[object], tmp_path: Path) -> None:
    with pytest.raises(ClusterLost, match=r"RAY_START.*timed out during startup") as caught:
        launch(lambda config: None, {}, Workers(1, max_failures=7))

    assert starts == ["local"] * 8
    assert caught.value.exit_code == 75
    assert "more" not in caught.value.message
    daemons = [int(line) for line in (tmp_path / "daemons").read_text().split()]
    assert len(daemons) == 2 * len(starts)
    assert not [daemon for daemon in daemons if psutil.pid_exists(daemon)]
    assert not list((tmp_path / "ray").glob("session_*/sockets"))


@pytest.mark.parametrize("starts", [PLAIN, OF_RAY, *OF_DAEMONS], indirect=True)
def test_whatever_ray_raises_of_a_start_says_so(starts: list[object]) -> None:
    with pytest.raises(ClusterLost, match="Ray did not start on this machine: ") as caught:
        launch(lambda config: None, {}, Workers(1, max_failures=0))

    assert str(caught.value.__cause__).splitlines()[0] in caught.value.message


@pytest.mark.parametrize(
    "starts", [Preempted("stopped by SIGTERM", code="PREEMPTED"), TypeError("an unexpected argument")], indirect=True
)
def test_what_is_no_fault_of_a_start_stays_what_it_is(starts: list[object]) -> None:
    with pytest.raises((Preempted, TypeError), match=r"stopped by SIGTERM|unexpected argument"):
        launch(lambda config: None, {}, Workers(1, max_failures=2))

    assert starts == ["local"]


@pytest.mark.parametrize("name", ["TMPDIR", "RAY_TMPDIR"])
def test_a_folder_too_long_for_sockets_is_refused_for_good(
    starts: list[object], monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str
) -> None:
    monkeypatch.setattr("jobs._ray_start._SOCKET_NAME_BYTES", 107)
    os.environ[name] = str(tmp_path) + "é" * 60

    with pytest.raises(EnvironmentFault, match=f"ENV_TMPDIR: {name} is too long") as caught:
        launch(lambda config: None, {}, Workers(1, max_failures=2))

    assert (caught.value.exit_code, starts) == (71, [])
    assert (caught.value.field, caught.value.got) == (name, f"{len(str(tmp_path)) + 120} bytes")
    assert f"set a shorter {name}" in caught.value.fix


@pytest.mark.slow
@pytest.mark.ray
def test_ray_starts_in_the_longest_folder_that_is_not_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    script = "from jobs._ray import Workers, connected\nwith connected(Workers(1)): print(os.environ['TMPDIR'])"
    fitted = (
        "import os, pathlib\nfrom jobs import _ray_start as module\n"
        "longest = module._SOCKET_NAME_BYTES - len(module._SOCKET.format(pid=os.getpid()))\n"
        "folder = pathlib.Path(os.environ['PLACE'].ljust(longest, 'x'))\n"
        "folder.mkdir()\nos.environ['TMPDIR'] = str(folder)\n"
    )
    monkeypatch.delenv("RAY_TMPDIR", raising=False)
    with tempfile.TemporaryDirectory(dir="/tmp") as place:
        monkeypatch.setenv("PLACE", f"{place}/")

        done = subprocess.run(
            [sys.executable, "-c", fitted + script], cwd=ROOT, capture_output=True, text=True, check=False, timeout=200
        )

        assert done.returncode == 0, done.stderr
        assert done.stdout.strip().endswith("x")
