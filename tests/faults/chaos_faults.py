"""What can happen to a training job, done to a real one: signals to its processes, damage to its files and its store.

Each fault takes the job while it runs and returns; names are those of the fault catalogue.
"""

import random
import signal
import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import psutil

from pipeline.tracking import read_spool

RAY_DAEMONS = ("raylet", "gcs_server")


@dataclass(frozen=True)
class Job:
    """A `kindred pretrain` that runs: its driver, run folder and MLflow database."""

    driver: psutil.Process
    folder: Path
    database: Path
    draw: random.Random

    def children(self, *names: str) -> list[psutil.Process]:
        """Processes below the driver whose command line has one of the names, in order of their ids."""
        found = []
        for child in self.driver.children(recursive=True):
            try:
                line = " ".join(child.cmdline())
            except psutil.NoSuchProcess:
                continue
            if any(name in line for name in names):
                found.append(child)
        return sorted(found, key=lambda child: child.pid)

    def send(self, number: int, *names: str) -> bool:
        """A signal to one of these children, drawn at random; False where there is none."""
        found = self.children(*names)
        if found:
            self.draw.choice(found).send_signal(number)
        return bool(found)


def worker_killed(job: Job) -> bool:
    """P01: kill -9 of a training worker."""
    return job.send(signal.SIGKILL, "RayTrainWorker")


def controller_killed(job: Job) -> bool:
    """P03: kill -9 of Ray Train's controller."""
    return job.send(signal.SIGKILL, "TrainController")


def driver_killed(job: Job) -> bool:
    """P04: kill -9 of the command."""
    job.driver.send_signal(signal.SIGKILL)
    return True


def daemon_killed(job: Job) -> bool:
    """P05: kill -9 of the raylet or the control store of the driver's Ray."""
    return job.send(signal.SIGKILL, *RAY_DAEMONS)


def terminated(job: Job) -> bool:
    """P08: SIGTERM, as a scheduler that preempts sends."""
    job.driver.send_signal(signal.SIGTERM)
    return True


def interrupted(job: Job) -> bool:
    """P09: SIGINT, as a terminal sends."""
    job.driver.send_signal(signal.SIGINT)
    return True


def worker_stopped(job: Job) -> bool:
    """P10: SIGSTOP of a training worker, which then holds its peers up."""
    return job.send(signal.SIGSTOP, "RayTrainWorker")


def killed_with_damaged_checkpoint(job: Job) -> bool:
    """C05: the driver is killed, and the newest checkpoint is then cut, flipped or without a file."""
    workers = job.children("RayTrainWorker")
    job.driver.kill()
    psutil.wait_procs(workers, timeout=60)
    files = [path for path in newest_checkpoint(job.folder).iterdir() if path.is_file()]
    path, how = job.draw.choice(files), job.draw.choice(("cut", "flip", "remove"))
    payload = bytearray(path.read_bytes())
    if how == "remove":
        path.unlink()
    elif how == "cut":
        path.write_bytes(payload[: job.draw.randrange(len(payload))])
    else:
        payload[job.draw.randrange(len(payload))] ^= 1 << job.draw.randrange(8)
        path.write_bytes(payload)
    return True


def sidecar_killed(job: Job) -> bool:
    """M05: kill -9 of the process that delivers to MLflow, then of the driver: nothing unsent may be lost."""
    found = job.send(signal.SIGKILL, "jobs._sidecar")
    job.driver.kill()
    return found


def database_locked(job: Job) -> bool:
    """M06: MLflow's database is locked for some seconds."""
    if not job.database.exists():
        return False
    threading.Thread(target=_lock, args=(job.database, job.draw.uniform(2, 6)), daemon=True).start()
    return True


def _lock(database: Path, seconds: float) -> None:
    connection = sqlite3.connect(database, timeout=5)
    try:
        connection.execute("BEGIN EXCLUSIVE")
        time.sleep(seconds)
    except sqlite3.OperationalError:
        return  # somebody else held it: as good
    finally:
        connection.close()


FAULTS: dict[str, Callable[[Job], bool]] = {
    "P01": worker_killed,
    "P03": controller_killed,
    "P04": driver_killed,
    "P05": daemon_killed,
    "P08": terminated,
    "P09": interrupted,
    "P10": worker_stopped,
    "C05": killed_with_damaged_checkpoint,
    "M05": sidecar_killed,
    "M06": database_locked,
}
ON_RAY = {"P01", "P03", "P05", "P10"}
"""Faults of processes that a run in process has not."""


def newest_checkpoint(folder: Path) -> Path:
    """The last complete checkpoint of a run folder's pretraining."""
    return max((folder / "pretrain" / "checkpoints").glob("step-*"))


def last_step(folder: Path) -> int:
    """The last step that a run folder's pretraining has logged."""
    path = folder / "tracking" / "pretrain.jsonl"
    records = read_spool(path)[0] if path.exists() else []
    return max((record.step for record in records if record.kind == "metrics"), default=0)
