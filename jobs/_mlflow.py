"""The one file that imports mlflow: a tracking store with typed errors, short time-outs and repeatable calls.

Every call may be repeated: runs are searched by tag before they are created, and a metric point is the same point
(key, step, value, time stamp) whenever it is sent, which stores keep once.
"""

import contextlib
import fcntl
import json
import os
import shutil
import sqlite3
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

from pydantic import JsonValue

from jobs._mlflow_names import MAX_DIGEST, MAX_PARAM, MAX_TAG, mlflow_name, mlflow_number, mlflow_text
from jobs._time_limit import time_limit
from pipeline.credentials import redact
from pipeline.errors import TrackingError

if TYPE_CHECKING:
    from mlflow.entities import Run

BatchT = TypeVar("BatchT")
GivenP = ParamSpec("GivenP")
AnswerT = TypeVar("AnswerT")
REQUEST_S = 5
POINTS_PER_CALL, NAMES_PER_CALL = 1000, 100
CLIENT_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": str(REQUEST_S),
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_SQLALCHEMYSTORE_POOLCLASS": "NullPool",  # a pooled connection goes on writing to a deleted file
}
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
"""Makes the MLflow UI open the page of training runs instead of the one of language model traces."""


@dataclass(frozen=True)
class Point:
    """One value of a metric."""

    name: str
    value: float
    time_ms: int
    step: int


def tracking_uri(configured: str | None = None, *, default: str | None = None) -> str:
    """The recipe's URI, else MLFLOW_TRACKING_URI, else `default`, else a SQLite file in the working folder."""
    uri = configured or os.environ.get("MLFLOW_TRACKING_URI") or default or "sqlite:///mlflow.db"
    path = sqlite_path(uri)
    return uri if path is None else f"sqlite:///{path}"


def sqlite_path(uri: str) -> Path | None:
    """File of a SQLite URI; None for any other."""
    return Path(uri.removeprefix("sqlite:///")).absolute() if uri.startswith("sqlite:///") else None


def artifact_folder(uri: str) -> Path | None:
    """Where artifacts of a SQLite store lie: beside the file. A server decides for itself (None)."""
    path = sqlite_path(uri)
    return None if path is None else path.parent / "mlartifacts"


class MlflowStore:
    """A tracking store. Methods raise TrackingError: TRACK_UNAVAILABLE, try again; TRACK_RUN, a person must act."""

    def __init__(self, uri: str) -> None:
        for name, value in CLIENT_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        self.uri = uri
        with self._typed():
            from mlflow import MlflowClient

            if path := sqlite_path(uri):
                prepare_sqlite(path)
            self._client = MlflowClient(tracking_uri=uri)  # refuses a database of another version
            if path:
                share_sqlite(path)

    def _ask(self, request: Callable[GivenP, AnswerT], *args: GivenP.args, **kwargs: GivenP.kwargs) -> AnswerT:
        """One request. SQLite has its own limits, and a first use that takes longer."""
        limit = contextlib.nullcontext() if sqlite_path(self.uri) else time_limit(REQUEST_S)
        with self._typed(), limit:
            return request(*args, **kwargs)

    @contextlib.contextmanager
    def _typed(self) -> Iterator[None]:
        import requests
        from mlflow.exceptions import MlflowException
        from sqlalchemy.exc import SQLAlchemyError

        try:
            yield
        except (MlflowException, requests.RequestException, SQLAlchemyError, sqlite3.Error, OSError) as error:
            raise TrackingError(
                f"tracking store {redact(self.uri)}: {redact(str(error)).strip()[:500]}",
                code="TRACK_UNAVAILABLE",
                field="MLFLOW_TRACKING_URI",
                fix="metrics are kept in the run folder; `kindred sync RUN_DIR` delivers them when the store works",
            ) from error

    def experiment(self, name: str) -> str:
        """Id of the experiment called `name`, created at need."""
        found = self._ask(self._client.get_experiment_by_name, name)
        if found is None:
            folder = artifact_folder(self.uri)
            place = None if folder is None else (folder / mlflow_name(name)).as_uri()
            with contextlib.suppress(TrackingError):  # another process may have created it meanwhile
                return self._ask(
                    self._client.create_experiment, name, artifact_location=place, tags=dict(EXPERIMENT_TAGS)
                )
            found = self._ask(self._client.get_experiment_by_name, name)
        if found is None or found.lifecycle_stage == "deleted":
            raise _gone("experiment", name, "deleted" if found else "missing")
        if not found.experiment_id:
            raise _garbled(self.uri)
        return found.experiment_id

    def experiment_of(self, run_id: str) -> str | None:
        """Experiment that holds a run, whatever it is called by now; None where there is no such run."""
        from mlflow.exceptions import MlflowException

        def lookup() -> str | None:
            try:
                return self._client.get_run(run_id).info.experiment_id
            except MlflowException as error:
                if error.error_code == "RESOURCE_DOES_NOT_EXIST":
                    return None
                raise

        return self._ask(lookup)

    def run(
        self, experiment: str, key: Mapping[str, str], *, known: str, name: str, tags: Mapping[str, str], start_ms: int
    ) -> "Run":
        """The run whose tags contain `key`, created at need; of several the one with the id `known`.

        A server that answers late makes runs that nobody waits for any more: what is empty beside the one that counts
        is deleted. Raises TRACK_RUN where somebody deleted that one.
        """
        from mlflow.entities import ViewType

        where = " and ".join(f"tags.`{tag}` = '{value}'" for tag, value in key.items())
        order = ["attributes.start_time ASC"]
        found = list(self._ask(self._client.search_runs, [experiment], where, ViewType.ALL, 100, order))
        if not found and known and self.experiment_of(known) is not None:
            raise _garbled(self.uri)
        if not found:
            clean = {mlflow_name(tag): mlflow_text(value, MAX_TAG) for tag, value in {**tags, **key}.items()}
            return self._ask(self._client.create_run, experiment, start_time=start_ms, tags=dict(clean), run_name=name)
        chosen = min(found, key=lambda run: (run.info.run_id != known, _is_deleted(run), _is_empty(run)))
        if _is_deleted(chosen):
            raise _gone("run", chosen.info.run_id, "deleted")
        for run in found:
            if run is not chosen and _is_empty(run) and not _is_deleted(run):
                self.tags(run.info.run_id, {"kindred.reason": f"a late reply's, see {chosen.info.run_id}"})
                self._ask(self._client.delete_run, run.info.run_id)
        return chosen

    def metrics(self, run_id: str, points: Sequence[Point]) -> None:
        from mlflow.entities import Metric

        made = [Metric(mlflow_name(p.name), mlflow_number(p.value), p.time_ms, p.step) for p in points]
        for batch in _batches(made, POINTS_PER_CALL):
            self._ask(self._client.log_batch, run_id, metrics=batch)

    def params(self, run_id: str, values: Mapping[str, JsonValue], known: dict[str, str]) -> None:
        """Params are immutable: one that differs from the `known` becomes a tag `changed/<name>`."""
        from mlflow.entities import Param

        clean = {mlflow_name(name): mlflow_text(value, MAX_PARAM) for name, value in values.items()}
        made = [Param(name, value) for name, value in clean.items() if name not in known]
        changed = {f"changed/{n}": v for n, v in clean.items() if known.get(n, v) != v}
        for batch in _batches(made, NAMES_PER_CALL):
            self._ask(self._client.log_batch, run_id, params=batch)
        known |= {param.key: param.value for param in made}
        self.tags(run_id, changed)

    def tags(self, run_id: str, values: Mapping[str, JsonValue]) -> None:
        from mlflow.entities import RunTag

        made = [RunTag(mlflow_name(name), mlflow_text(value, MAX_TAG)) for name, value in values.items()]
        for batch in _batches(made, NAMES_PER_CALL):
            self._ask(self._client.log_batch, run_id, tags=batch)

    def read_tags(self, run_id: str) -> dict[str, str]:
        """Tags of a run. Raises TrackingError where there is no such run."""
        return dict(self._ask(self._client.get_run, run_id).data.tags)

    def artifact(self, run_id: str, path: Path, name: str) -> None:
        """Upload a file under the relative name `name`, which may take its time as long as bytes move."""
        place = Path(mlflow_name(name))
        folder = None if place.parent == Path() else str(place.parent)
        with self._typed(), tempfile.TemporaryDirectory(prefix="kindred-artifact-") as temporary:
            source = path
            if place.name != path.name:
                source = Path(shutil.copyfile(path, Path(temporary) / place.name))
            self._client.log_artifact(run_id, str(source), folder)

    def dataset(self, run_id: str, *, name: str, digest: str, source: str) -> None:
        """Record a data set as the run's input; `digest` is cut to what MLflow accepts."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        made = Dataset(name, digest[:MAX_DIGEST], "local", json.dumps({"uri": redact(source)}))
        self._ask(self._client.log_inputs, run_id, [DatasetInput(made, [InputTag("mlflow.data.context", "training")])])

    def status(self, run_id: str, status: str, *, end_ms: int) -> None:
        if status == "RUNNING":
            self._ask(self._client.update_run, run_id, status=status)
        else:
            self._ask(self._client.set_terminated, run_id, status, end_time=end_ms)


def _garbled(uri: str) -> TrackingError:
    """For a reply that was cut in its head, which the client takes for an empty answer."""
    message = f"tracking store {redact(uri)}: the reply contradicts itself"
    return TrackingError(message, code="TRACK_UNAVAILABLE", field="MLFLOW_TRACKING_URI", fix="try again")


def _is_deleted(run: "Run") -> bool:
    return run.info.lifecycle_stage == "deleted"


def _is_empty(run: "Run") -> bool:
    return not run.data.metrics and not run.data.params


def _gone(what: str, name: str, state: str) -> TrackingError:
    return TrackingError(
        f"the MLflow {what} {name} of this run folder is {state}",
        code="TRACK_RUN",
        key=name,
        got=state,
        fix=f"restore the {what} in the MLflow UI, or send everything to a new run: kindred sync RUN_DIR --new-run",
    )


def _batches(items: Sequence[BatchT], size: int) -> Iterator[Sequence[BatchT]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def prepare_sqlite(path: Path) -> None:
    """Make the file where there is none; refuse a damaged one at once, which MLflow would try for half an hour.

    A new file appears whole: a process killed in the middle of its 60 migrations leaves nothing behind. Raises
    TrackingError for what is no file, such as a device, which the new one would replace.
    """
    if path.exists() and not path.is_file():
        fix = "name a file in tracking.uri or MLFLOW_TRACKING_URI: sqlite:////FOLDER/mlflow.db"
        raise TrackingError(f"{path} is no file", code="TRACK_URI", field="tracking.uri", got=str(path), fix=fix)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.with_name(f".{path.name}.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not path.exists() or not path.stat().st_size:
            fresh = path.with_name(f".{path.name}-{uuid.uuid4().hex}")
            create_sqlite(fresh)
            share_sqlite(fresh)
            for journal in (f"{path}-wal", f"{path}-shm"):  # of a deleted file: SQLite would apply it to the new one
                Path(journal).unlink(missing_ok=True)
            fresh.rename(path)
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as database:
        database.execute("PRAGMA schema_version")


def share_sqlite(path: Path) -> None:
    """Let readers and a writer use the file at once. This changes the file."""
    with contextlib.closing(sqlite3.connect(path, timeout=5)) as database:
        database.execute("PRAGMA journal_mode=WAL")


def create_sqlite(path: Path) -> None:
    """A migrated, empty MLflow database (takes seconds)."""
    from mlflow import MlflowClient

    MlflowClient(tracking_uri=f"sqlite:///{path}")
