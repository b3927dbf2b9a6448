"""An MLflow server of a test on loopback, in a session of its own, ended with everything it started."""

import contextlib
import os
import signal
import subprocess
import urllib.request
from pathlib import Path

from jobs._mlflow import CLIENT_ENVIRONMENT
from jobs.ui import server_command
from tests.wait_for import wait_for


class TrackingServer:
    """Answers as soon as it is made. store: URI of its runs; more options of `mlflow server` in `options`."""

    def __init__(self, store: str, port: int, *options: str, log: Path) -> None:
        self.uri, self._log = f"http://127.0.0.1:{port}", log
        environment = {**os.environ, **CLIENT_ENVIRONMENT, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
        with log.open("ab") as file:
            self._process = subprocess.Popen(
                [*server_command(store, port), *options],
                cwd=log.parent,
                env=environment,
                stdout=file,
                stderr=file,
                start_new_session=True,
            )
        with contextlib.ExitStack() as failed:
            failed.callback(self.kill)
            wait_for(self._answers, seconds=200)
            failed.pop_all()

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                return True
        except OSError:
            assert self._process.poll() is None, self._log.read_text()
            return False

    def kill(self) -> None:
        """kill -9 of all of it."""
        if self._process.poll() is None:
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
