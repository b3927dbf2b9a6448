"""A Ray cluster of its own on loopback, with a token: a head, and nodes that come and go."""

import contextlib
import os
import secrets
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import psutil

from tests.e2e.conftest import RECIPE, ROOT
from tests.free_port import free_port

LOST_NODE_SEEN_QUICKLY = {"RAY_health_check_period_ms": "500", "RAY_health_check_failure_threshold": "3"}


@contextlib.contextmanager
def ray_cluster(*, cpus: int = 4, variables: dict[str, str] | None = None) -> Iterator["Cluster"]:
    """One in a folder of its own that is gone with it. A short one: Ray's sockets have long paths."""
    with tempfile.TemporaryDirectory(prefix="k", ignore_cleanup_errors=True) as folder:
        cluster = Cluster(Path(folder), cpus=cpus, variables=variables)
        try:
            yield cluster
        finally:
            cluster.stop()


class Cluster:
    """A head with `cpus`; more variables of the daemons and of what is submitted in `variables`."""

    def __init__(self, folder: Path, *, cpus: int, variables: dict[str, str] | None) -> None:
        self.folder, self.address = folder, f"http://127.0.0.1:{free_port()}"
        self.control_store = f"127.0.0.1:{free_port()}"
        self.tracking = f"sqlite:///{folder}/mlflow.db"  # what commands here use where none is named
        self.metrics = f"http://127.0.0.1:{free_port()}/metrics"
        self.nodes: list[subprocess.Popen[bytes]] = []
        token = folder / "token"
        token.touch(mode=0o600)
        token.write_text(secrets.token_hex(32))
        self.environment = {
            **os.environ,
            "HOME": str(folder),
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),  # the cluster's python
            "PYTHONPATH": str(ROOT),
            "OMP_NUM_THREADS": "1",
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN_PATH": str(token),
            **(variables or {}),
        }
        self._start(
            *("--head", "--dashboard-host=127.0.0.1", f"--port={self.control_store.rpartition(':')[2]}"),
            f"--metrics-export-port={urlsplit(self.metrics).port}",
            *(f"--dashboard-port={self.address.rpartition(':')[2]}", f"--temp-dir={folder}/ray", f"--num-cpus={cpus}"),
        )

    def add_node(self, cpus: int) -> None:
        """One more, and wait until it has joined."""
        self._start(f"--address={self.control_store}", f"--num-cpus={cpus}")

    def announce_the_end_of_a_node(self, seconds: int) -> None:
        """What a cloud's notice does: a worker's node will be gone in so many seconds."""
        script = (
            "import ray, sys; ray.init(address=sys.argv[1], log_to_driver=False);"
            "print(next(n['NodeID'] for n in ray.nodes() if 'node:__internal_head__' not in n['Resources']))"
        )
        asked = [sys.executable, "-c", script, self.control_store]
        node = subprocess.run(asked, env=self.environment, check=True, capture_output=True, text=True).stdout.split()[
            -1
        ]
        told = [f"--address={self.control_store}", f"--node-id={node}", "--reason=DRAIN_NODE_REASON_PREEMPTION"]
        options = [*told, "--reason-message=reclaimed", f"--deadline-remaining-seconds={seconds}"]
        command = [sys.executable, "-m", "ray.scripts.scripts", "drain-node", *options]
        subprocess.run(command, env=self.environment, check=True, capture_output=True)

    def kill_node(self) -> None:
        """kill -9 of the last node and all its processes at once, as a machine that is gone."""
        node = self.nodes.pop()
        for process in psutil.Process(node.pid).children(recursive=True):  # workers lead process groups of their own
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        os.killpg(node.pid, signal.SIGKILL)
        node.wait()

    def _start(self, *options: str) -> None:
        log = self.folder / f"node-{len(self.nodes)}-{time.monotonic_ns()}.log"
        command = [
            *(sys.executable, "-m", "ray.scripts.scripts", "start", "--block", "--disable-usage-stats"),
            *("--node-ip-address=127.0.0.1", "--object-store-memory=134217728", *options),
            f"--dashboard-agent-listen-port={free_port()}",  # of two agents at one port, one takes no jobs
        ]
        with log.open("w") as out:
            node = subprocess.Popen(
                command, env=self.environment, stdout=out, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.nodes.append(node)
        deadline = time.monotonic() + 120
        while "Ray runtime started" not in (text := log.read_text()):
            assert node.poll() is None, text
            assert time.monotonic() < deadline, text
            time.sleep(0.2)

    def submit(self, verb: str, *arguments: str, recipe: Path = RECIPE) -> subprocess.CompletedProcess[str]:
        """kindred submit, to its end."""
        command = [sys.executable, "-m", "jobs", *self.submission(verb, *arguments, recipe=recipe)]
        return subprocess.run(
            command, cwd=self.folder, env=self.environment, capture_output=True, text=True, check=False
        )

    def submission(self, verb: str, *arguments: str, recipe: Path = RECIPE) -> list[str]:
        """Words of the command line that submits a job here."""
        return ["submit", verb, str(recipe), *arguments, "--address", self.address, "--json"]

    def workers(self) -> list[psutil.Process]:
        """Training workers, on any node."""
        found = []
        for process in psutil.process_iter(["cmdline", "environ"]):
            line, variables = " ".join(process.info["cmdline"] or []), process.info["environ"] or {}
            if "RayTrainWorker" in line and variables.get("HOME") == str(self.folder):
                found.append(process)
        return found

    def stop(self) -> None:
        """Nothing of it is needed: no process may outlive the test."""
        while self.nodes:
            self.kill_node()
        for process in Path("/proc").iterdir():
            if process.name.isdecimal() and self._is_ours(process):
                os.kill(int(process.name), signal.SIGKILL)

    def _is_ours(self, process: Path) -> bool:
        try:
            return f"{self.folder}/ray" in (process / "cmdline").read_text(errors="replace")
        except OSError:
            return False
