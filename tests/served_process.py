"""`mlflow models serve` as a user starts it, on loopback, ended with everything it started."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.free_port import free_port
from tests.wait_for import wait_for


@dataclass(frozen=True)
class Served:
    """log: everything that the server has said."""

    address: str
    log: Path

    def ask(self, body: object) -> tuple[int, str]:
        """Status and text; `body` is JSON, or bytes as they are."""
        payload = body if isinstance(body, bytes) else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.address}/invocations", payload, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=120) as reply:
                return reply.status, reply.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()

    def is_up(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.address}/ping", timeout=5) as reply:
                return reply.status == 200
        except OSError:
            return False


@contextlib.contextmanager
def served(model: str, *, uri: str, folder: Path, python: str = sys.executable) -> Iterator[Served]:
    """Serve a model from a folder that holds no code of ours. python: of the environment to serve in."""
    port, log = free_port(), folder / "serve.log"
    command = [python, "-m", "mlflow", "models", "serve", "-m", model, "--env-manager", "local"]
    path = f"{Path(python).parent}{os.pathsep}{os.environ['PATH']}"  # MLflow starts uvicorn by its name
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environment = {**kept, "PATH": path, "MLFLOW_TRACKING_URI": uri, "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    with log.open("wb") as file:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port)],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    found = Served(f"http://127.0.0.1:{port}", log)

    def ready() -> bool:
        assert process.poll() is None, log.read_text()
        return found.is_up()

    try:
        wait_for(ready, seconds=600)  # a fresh environment compiles what it imports
        yield found
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(30)
