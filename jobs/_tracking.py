"""The driver's side of tracking: what a run is, which stage runs, how it ended, and the sidecar that delivers it."""

import contextlib
import logging
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from jobs._delivery import PARENT, mark_killed, spool_path, tracking_folder
from jobs._mlflow import CLIENT_ENVIRONMENT, tracking_uri
from jobs._own_process import python_environment
from jobs._run_folder import RunFolder, read_json, write_json
from pipeline.credentials import redact
from pipeline.errors import KindredError, Preempted, StorageError, TrackingError
from pipeline.tracking import Spool

FLUSH_S, PREEMPTED_FLUSH_S = 60.0, 3.0
"""How long an end waits for delivery; whoever preempts kills soon, and the spool keeps what was not delivered."""
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RunIdentity:
    """What MLflow shows of a run: `job_key` is the hash of its recipe and data, `tags` its provenance."""

    experiment: str
    name: str
    job_key: str
    tags: Mapping[str, str]


class Tracking:
    """The tracked run of a folder: `run` is the parent's spool, `stage` opens a child's."""

    def __init__(self, run_folder: Path) -> None:
        self.run_folder = run_folder
        self.run = Spool(spool_path(run_folder, PARENT))

    @contextlib.contextmanager
    def stage(self, name: str, *, job_key: str, prefix: str = "") -> Iterator[Spool]:
        """A child run that ends FINISHED, FAILED or KILLED with the block. Workers open the same file by its path."""
        spool = Spool(spool_path(self.run_folder, name), prefix=prefix)
        spool.tags({"kindred.job_key": job_key})
        with _ending(spool):
            yield spool

    def run_ids(self) -> dict[str, JsonValue]:
        """MLflow run ids by stage (the recipe's own is `run`), as far as they are delivered."""
        return RunFolder(self.run_folder).run_ids()

    def awaited_run_id(self, seconds: float) -> str | None:
        """MLflow id of the parent as soon as it is delivered; None where that takes longer."""
        deadline = time.monotonic() + seconds
        while (found := self.run_ids().get(PARENT)) is None and time.monotonic() < deadline:
            time.sleep(0.1)
        return None if found is None else str(found)


@contextlib.contextmanager
def tracked(
    run_folder: Path, identity: RunIdentity, *, uri: str | None = None, required: bool = False
) -> Iterator[Tracking]:
    """Track everything in the block. The store is only ever touched by a sidecar process.

    Raises TrackingError after the block where `required` and something could not be delivered; else that is a warning.
    """
    write_header(run_folder, identity, uri=uri)
    mark_killed(run_folder)  # what an earlier driver left RUNNING when all its processes died at once
    tracking = Tracking(run_folder)
    sidecar = _start(run_folder, tracking_uri(uri))
    delivered, patience_s = False, FLUSH_S
    try:
        with _ending(tracking.run):
            yield tracking
    except Preempted:
        patience_s = PREEMPTED_FLUSH_S
        raise
    finally:
        delivered = _finish(sidecar, run_folder, patience_s)
    if required and not delivered:
        message = f"tracking is required and did not get everything: {_last_words(run_folder)}"
        raise TrackingError(message, code="TRACK_UNDELIVERED", fix=_fix(run_folder))


def write_header(run_folder: Path, identity: RunIdentity, *, uri: str | None = None) -> None:
    """Say once what the run is: a restart, and a copy of the folder, continue the same MLflow run."""
    path = tracking_folder(run_folder) / "run.json"
    if read_json(path) is None:
        tags: dict[str, JsonValue] = {**identity.tags, "kindred.job_key": identity.job_key}
        header: dict[str, JsonValue] = {"id": uuid.uuid4().hex, "time_ms": time.time_ns() // 1_000_000, "tags": tags}
        place = redact(tracking_uri(uri))
        write_json(path, {**header, "experiment": identity.experiment, "name": identity.name, "uri": place})


def renew_header(run_folder: Path) -> None:
    """Make the folder another MLflow run; its tag `kindred.parent` names the one that it was."""
    path = tracking_folder(run_folder) / "run.json"
    header = read_json(path) or {}
    earlier, tags = Tracking(run_folder).run_ids().get(PARENT, ""), header["tags"]
    assert isinstance(tags, dict)  # noqa: S101 - written above
    write_json(path, {**header, "id": uuid.uuid4().hex, "tags": {**tags, "kindred.parent": earlier}})
    (path.parent / "sent.json").unlink(missing_ok=True)


@contextlib.contextmanager
def _ending(spool: Spool) -> Iterator[None]:
    spool.status("RUNNING")
    try:
        yield
    except BaseException as error:
        killed = isinstance(error, Preempted) or not isinstance(error, Exception)
        reason = str(error) if isinstance(error, KindredError) else type(error).__name__
        with contextlib.suppress(StorageError):  # a full disk must not hide why the stage ended
            spool.status("KILLED" if killed else "FAILED", reason)
        raise
    spool.status("FINISHED")


def _start(run_folder: Path, uri: str) -> subprocess.Popen[bytes]:
    """A session of its own keeps the terminal's Ctrl-C from the sidecar."""
    environment = {**CLIENT_ENVIRONMENT, **python_environment(), "MLFLOW_TRACKING_URI": uri}
    with (tracking_folder(run_folder) / "sidecar.log").open("ab") as log:
        return subprocess.Popen(
            [sys.executable, "-m", "jobs._sidecar", str(run_folder.resolve())],
            stdin=subprocess.PIPE,
            stdout=log,
            stderr=log,
            env=environment,
            start_new_session=True,
        )


def _finish(sidecar: subprocess.Popen[bytes], run_folder: Path, patience_s: float) -> bool:
    """Let the sidecar deliver the rest, for a bounded time; True when all of it arrived."""
    assert sidecar.stdin is not None  # noqa: S101 - a pipe was asked for
    sidecar.stdin.close()
    try:
        delivered = sidecar.wait(patience_s) == 0
    except subprocess.TimeoutExpired:
        delivered = False
    finally:
        sidecar.kill()
        sidecar.wait()
    if not delivered:
        _log.warning("tracking: not everything was delivered: %s; %s", _last_words(run_folder), _fix(run_folder))
    return delivered


def _last_words(run_folder: Path) -> str:
    """Why the sidecar could not deliver: it says that last."""
    lines = (
        (tracking_folder(run_folder) / "sidecar.log")
        .read_text(encoding="utf-8", errors="backslashreplace")
        .splitlines()
    )
    return lines[-1] if lines else "the tracking process did not get to it"


def _fix(run_folder: Path) -> str:
    return f"when the tracking store works: kindred sync {run_folder}"
