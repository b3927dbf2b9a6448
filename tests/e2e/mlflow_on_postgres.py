"""An MLflow server as infra/ deploys it: runs in PostgreSQL, artifacts over HTTP; here on loopback, in one folder."""

import os
import shutil
import signal
import subprocess
from pathlib import Path

from tests.free_port import free_port
from tests.tracking_server import TrackingServer
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
        self._database: subprocess.Popen[bytes] | None = None
        self._mlflow: TrackingServer | None = None

    @property
    def uri(self) -> str:
        """For MLFLOW_TRACKING_URI."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Return when the server answers."""
        port = free_port()
        self._start_database(port)
        store, artifacts = f"postgresql://{OWNER}@127.0.0.1:{port}/postgres", str(self.folder / "artifacts")
        options, log = ("--artifacts-destination", artifacts), self.folder / "mlflow.log"
        self._mlflow = TrackingServer(store, self.port, *options, log=log)

    def _start_database(self, port: int) -> None:
        database = self.folder / "database"
        database.mkdir(mode=0o700)
        as_owner: list[str] = []
        if os.getuid() == 0:  # PostgreSQL refuses to run as root
            shutil.chown(database, OWNER, OWNER)
            as_owner = ["runuser", "-u", OWNER, "--"]
        given = [self.programs / "initdb", "-D", database, "--auth=trust", f"--username={OWNER}", "--no-sync"]
        subprocess.run([*as_owner, *map(str, given)], cwd="/", check=True, capture_output=True)
        served = [self.programs / "postgres", "-D", database, "-h", "127.0.0.1", "-p", port, "-k", database]
        with (self.folder / "postgres.log").open("w") as log:
            self._database = subprocess.Popen(
                [*as_owner, *map(str, served)], cwd="/", stdout=log, stderr=log, start_new_session=True
            )
        ready = [str(self.programs / "pg_isready"), "-h", "127.0.0.1", "-p", str(port), "-q"]
        wait_for(lambda: subprocess.run(ready, check=False).returncode == 0)

    def stop(self) -> None:
        """End both."""
        if self._mlflow is not None:
            self._mlflow.kill()
        if self._database is not None:
            if self._database.poll() is None:
                os.killpg(self._database.pid, signal.SIGINT)
            self._database.wait()
