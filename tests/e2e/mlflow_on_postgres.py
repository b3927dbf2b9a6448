"""An MLflow server as infra/ deploys it: runs in PostgreSQL, artifacts over HTTP; here on loopback, in one folder."""

import os
import shutil
import signal
import subprocess
import urllib.error
import urllib.request
from pathlib import Path

from jobs.ui import server_command
from tests.free_port import free_port
from tests.wait_for import wait_for

OWNER = "postgres"


def postgres_programs() -> Path | None:
    """Where the newest PostgreSQL of this machine has its programs; Debian keeps them off the PATH."""
    places = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not places and (found := shutil.which("initdb")):
        places = [Path(found).resolve().parent]
    return places[-1] if places else None


class MlflowOnPostgres:
    """Started by `start`; both servers and all they started end with `stop`."""

    def __init__(self, folder: Path, programs: Path) -> None:
        self.folder, self.programs, self.port = folder, programs, free_port()
        self.running: list[tuple[subprocess.Popen[bytes], int]] = []

    @property
    def uri(self) -> str:
        """For MLFLOW_TRACKING_URI."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when the server answers."""
        database, port = self.folder / "database", free_port()
        database.mkdir(mode=0o700)
        as_owner: list[str] = []
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(database, OWNER, OWNER)
            as_owner = ["runuser", "-u", OWNER, "--"]
        given = [self.programs / "initdb", "-D", database, "--auth=trust", f"--username={OWNER}", "--no-sync"]
        subprocess.run([*as_owner, *map(str, given)], cwd="/", check=True, capture_output=True)
        served = [self.programs / "postgres", "-D", database, "-h", "127.0.0.1", "-p", port, "-k", database]
        self._run([*as_owner, *map(str, served)], "postgres", signal.SIGINT)
        ready = [str(self.programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
        wait_for(lambda: subprocess.run(ready, check=False).returncode == 0)
        command = server_command(f"postgresql://{OWNER}@127.0.0.1:{port}/postgres", self.port)
        self._run([*command, "--artifacts-destination", str(self.folder / "artifacts")], "mlflow", signal.SIGKILL)
        wait_for(self._answers, seconds=200)

    def _run(self, command: list[str], name: str, end: int) -> None:
        with (self.folder / f"{name}.log").open("w") as log:
            environment = {**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"}
            server = subprocess.Popen(
                command, cwd="/", env=environment, stdout=log, stderr=subprocess.STDOUT, start_new_session=True
            )
        self.running.append((server, end))

    def _answers(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.uri}/health", timeout=5):
                return True
        except (urllib.error.URLError, TimeoutError):
            assert self.running[-1][0].poll() is None, (self.folder / "mlflow.log").read_text()
            return False

    def stop(self) -> None:
        """End both."""
        for server, end in reversed(self.running):
            if server.poll() is None:
                os.killpg(server.pid, end)
            server.wait()
