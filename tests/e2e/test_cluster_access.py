"""The Ray that training starts on this machine: whoever has no token can run nothing on it."""

import json
import os
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import grpc
import psutil
import pytest

from jobs._ray import LOOPBACK_ONLY
from jobs._ray_token import require_token
from pipeline.errors import SecurityError
from tests.e2e.conftest import ROOT
from tests.jobs.served_ui import listening

pytestmark = pytest.mark.ray

START = """
import os, sys
import ray  # as a caller's script may: Ray reads RAY_AUTH_MODE at its import
os.umask(0)
from jobs._ray import Workers, connected
with connected(Workers(1)):
    ray.get(ray.remote(lambda: os.getpid()).remote())
    print(ray.get_runtime_context().gcs_address, flush=True)
    sys.stdin.read()
"""
OUTSIDER = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
print(ray.get(ray.remote(lambda: "RAN CODE").remote()))
"""

WORKERS = """
import json, os
from jobs._ray import Workers, launch
def heard(config):
    import psutil
    import torch.distributed as group
    sockets = psutil.Process().net_connections("inet")
    found = [None] * group.get_world_size()
    group.all_gather_object(found, [s.laddr.ip for s in sockets if s.status == psutil.CONN_LISTEN])
    return found
print(json.dumps(launch(heard, {}, Workers(2))))
"""


class Started:
    """A process that holds a private Ray as training does."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith("RAY_")},
            "HOME": str(folder), "PYTHONPATH": str(ROOT), "RAY_TMPDIR": str(folder),
        }  # fmt: skip
        command = [sys.executable, "-c", START]
        self.process = subprocess.Popen(
            command, env=self.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        assert self.process.stdout is not None
        self.address = self.process.stdout.readline().strip()
        assert self.address, "Ray did not start"

    def join(self, **changes: str) -> subprocess.CompletedProcess[str]:
        """Somebody else on this network, as far as a process of this machine can be."""
        own = {"HOME": str(self.folder / "elsewhere"), "RAY_TMPDIR": "", LOOPBACK_ONLY: "0"}
        given = {**self.environment, **own, **changes}
        command = [sys.executable, "-c", OUTSIDER, self.address]
        try:
            return subprocess.run(command, env=given, capture_output=True, text=True, check=False, timeout=60)
        except subprocess.TimeoutExpired as error:
            out = (error.stdout or b"").decode()
            return subprocess.CompletedProcess(command, 124, out, "waits for ever")

    def family(self) -> list[psutil.Process]:
        """The process and everything of Ray's."""
        own = psutil.Process(self.process.pid)
        return [own, *own.children(recursive=True)]

    def stop(self) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        self.process.wait(60)


@pytest.fixture(scope="module")
def started() -> Iterator[Started]:
    with tempfile.TemporaryDirectory(prefix="k", ignore_cleanup_errors=True) as folder:  # Ray's socket paths are long
        made = Started(Path(folder))
        yield made
        made.stop()


@pytest.mark.fault("S14")
def test_its_token_is_readable_by_its_owner_only(started: Started) -> None:
    token = started.folder / ".ray" / "auth_token"

    assert stat.S_IMODE(token.stat().st_mode) == 0o600
    assert len(token.read_text()) >= 64


GATES = ("CoreWorkerService/PushTask", "NodeManagerService/RequestWorkerLease", "InternalKVGcsService/InternalKVKeys")
"""By which a stranger would make a worker, the node or the cluster run something."""


def _call(address: tuple[str, int], method: str) -> str:
    """What a call without a token gets."""
    with grpc.insecure_channel(f"127.0.0.1:{address[1]}") as channel:
        try:
            channel.unary_unary(f"/ray.rpc.{method}")(b"", timeout=10)
        except grpc.RpcError as error:
            return error.code().name  # pyright: ignore
    return "OK"


@pytest.mark.fault("S13")
def test_every_gate_asks_for_the_token(started: Started) -> None:
    answers = {gate: {_call(address, gate) for address in listening(started.family())} for gate in GATES}

    assert all("UNAUTHENTICATED" in found for found in answers.values()), answers
    assert not any("OK" in found for found in answers.values()), answers


@pytest.mark.slow
@pytest.mark.parametrize(
    "given", [{"RAY_AUTH_MODE": "disabled"}, {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0" * 64}]
)
def test_an_outsider_runs_nothing(started: Started, given: dict[str, str]) -> None:
    found = started.join(**given)

    assert found.returncode != 0
    assert "RAN CODE" not in found.stdout


def test_whoever_has_the_token_runs_code(started: Started) -> None:
    token = started.folder / ".ray" / "auth_token"

    found = started.join(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN_PATH=str(token))

    assert "RAN CODE" in found.stdout, found.stderr


@pytest.mark.fault("S15")
def test_nothing_of_it_is_reachable_from_another_machine(started: Started) -> None:
    found = listening(started.family())

    assert len(found) > 5
    assert [address for address, _ in found if not address.removeprefix("::ffff:").startswith("127.")] == []


@pytest.mark.slow
@pytest.mark.fault("S15")
def test_nothing_of_its_workers_is_either() -> None:
    with tempfile.TemporaryDirectory(prefix="k", ignore_cleanup_errors=True) as folder:
        given = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        given |= {"HOME": folder, "PYTHONPATH": str(ROOT), "RAY_TMPDIR": folder}
        found = subprocess.run([sys.executable, "-c", WORKERS], env=given, capture_output=True, text=True, timeout=120)

    heard = json.loads(found.stdout.splitlines()[-1])
    assert len(heard) == 2
    assert all(len(sockets) > 1 for sockets in heard)
    assert [ip for sockets in heard for ip in sockets if not ip.removeprefix("::ffff:").startswith("127.")] == []


@pytest.mark.slow
@pytest.mark.fault("P05")
@pytest.mark.parametrize("killed", ["driver", "raylet"])
def test_nothing_of_it_outlives_a_kill_by_half_a_minute(killed: str) -> None:
    with tempfile.TemporaryDirectory(prefix="k", ignore_cleanup_errors=True) as folder:
        started = Started(Path(folder))
        family = started.family()
        next(each for each in family if each.name().startswith("ray::IDLE")).suspend()  # one that will not notice
        next(each for each in family if killed == "driver" or each.name() == killed).kill()
        if killed == "raylet":
            started.stop()

        _, alive = psutil.wait_procs(family, timeout=30)

    assert alive == []


@pytest.mark.fault("S13")
@pytest.mark.parametrize("mode", [None, "disabled", ""])
def test_a_cluster_of_others_is_not_used_without_a_token(mode: str | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE", raising=False)
    if mode is not None:
        monkeypatch.setenv("RAY_AUTH_MODE", mode)

    with pytest.raises(SecurityError, match=r"RAY_NO_AUTH.*Fix: .*RAY_AUTH_MODE=token"):
        require_token("http://head:8265")
