"""From the spools of a run folder to MLflow: a parent run for the recipe, a child run for each stage.

`<run folder>/tracking/run.json` says what the run is, `run.jsonl` is the parent's spool, `<stage>.jsonl` a child's.
`sent.json` keeps how far each was delivered. It is written after a batch has arrived: a batch whose reply was lost is
sent again, which changes nothing. After a resume a stage logs some steps a second time; the first delivered value of a
step stays, because MLflow cannot replace points.
"""

import contextlib
import fcntl
import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from jobs._mlflow import MlflowStore, Point
from jobs._mlflow_names import mlflow_name
from jobs._run_folder import read_json, write_json
from pipeline.credentials import redact
from pipeline.digest import sha256
from pipeline.errors import OutputError, TrackingError
from pipeline.tracking import Record, Spool, read_spool

PARENT = "run"
CHUNK_BYTES = 1 << 20
_log = logging.getLogger(__name__)


def tracking_folder(run_folder: Path) -> Path:
    """Where a run folder keeps its spools."""
    return run_folder / "tracking"


def spool_path(run_folder: Path, stage: str) -> Path:
    """The spool of one stage."""
    return tracking_folder(run_folder) / f"{stage}.jsonl"


@dataclass
class _Stream:
    """One spool and the run it goes to."""

    path: Path
    run_id: str
    experiment: str
    offset: int
    known: dict[str, str]
    reason: str = ""
    seen: set[tuple[str, int]] = field(default_factory=set)
    artifacts: dict[str, str] = field(default_factory=dict)


class Delivery:
    """Delivers what is in the spools of `run_folder`. Use inside `sole_sender`: one process at a time."""

    def __init__(self, run_folder: Path, uri: str) -> None:
        self.folder, self.uri = tracking_folder(run_folder), uri
        header = read_json(self.folder / "run.json")
        if header is None:
            raise OutputError(f"{run_folder} is not a tracked run folder", code="OUT_NO_RUN", field="tracking/run.json")
        self._header = header
        self._store: MlflowStore | None = None
        self._streams: dict[str, _Stream] = {}
        self._tags = {**_texts(header["tags"]), "kindred.folder": str(header["id"])}

    def deliver(self) -> int:
        """Send everything new; returns the number of metric points. Raises TrackingError; calling again goes on."""
        try:
            store = self._store = self._store or MlflowStore(self.uri)
            return sum(self._deliver(store, stage) for stage in _stages(self.folder))
        except TrackingError:
            self._store, self._streams = None, {}  # what was attached may be gone: search again
            raise

    def rewind(self) -> None:
        """Start again from the first line, for a store that may have lost something; in the same runs."""
        sent = {stage: {**entry, "offset": 0, "artifacts": {}} for stage, entry in self._sent().items()}
        write_json(self.folder / "sent.json", {"uri": redact(self.uri), "stages": sent})
        self._streams = {}

    def run_ids(self) -> dict[str, str]:
        """Stage -> MLflow run id, of the stages delivered so far."""
        return {stage: str(entry["run_id"]) for stage, entry in self._sent().items()}

    def _sent(self) -> dict[str, dict[str, JsonValue]]:
        stages = (read_json(self.folder / "sent.json") or {}).get("stages", {})
        assert isinstance(stages, dict)  # noqa: S101 - written below
        return {stage: entry for stage, entry in stages.items() if isinstance(entry, dict)}

    def _attach(self, store: MlflowStore, stage: str) -> _Stream:
        if stage in self._streams:
            return self._streams[stage]
        path, header, sent = self.folder / f"{stage}.jsonl", self._header, self._sent().get(stage, {})
        key, known = {"kindred.folder": str(header["id"]), "kindred.stage": stage}, str(sent.get("run_id", ""))
        if stage == PARENT:
            name = str(header["name"])
            experiment = (known and store.experiment_of(known)) or store.experiment(str(header["experiment"]))
        else:
            parent = self._attach(store, PARENT)
            name, experiment, key["mlflow.parentRunId"] = stage, parent.experiment, parent.run_id
        first = read_spool(path, max_bytes=1)[0]
        start = first[0].time_ms if first else int(str(header["time_ms"]))
        run = store.run(experiment, key, known=known, name=name, tags=self._tags, start_ms=start)
        stream = self._streams[stage] = _Stream(
            path, run.info.run_id, experiment, 0, dict(run.data.params), run.data.tags.get("kindred.reason", "")
        )
        if known == stream.run_id:
            stream.offset, stream.artifacts = int(str(sent["offset"])), _texts(sent["artifacts"])
            _fresh_points(_before(path, stream.offset), stream.seen)
        return stream

    def _deliver(self, store: MlflowStore, stage: str) -> int:
        stream, sent = self._attach(store, stage), 0
        while True:
            records, offset = read_spool(stream.path, stream.offset, max_bytes=CHUNK_BYTES)
            if offset == stream.offset:
                return sent
            points = _fresh_points(records, stream.seen)
            store.metrics(stream.run_id, points)
            self._others(store, stream, records)
            sent, stream.offset = sent + len(points), offset
            self._remember()

    def _others(self, store: MlflowStore, stream: _Stream, records: Sequence[Record]) -> None:
        run, values = stream.run_id, {kind: {} for kind in ("params", "tags")}
        for record in records:
            if record.kind in values:
                values[record.kind] |= record.values
            elif record.kind == "dataset":
                store.dataset(run, **_texts(record.values))
            elif record.kind == "artifact":
                self._artifact(store, stream, record)
        store.params(run, values["params"], stream.known)
        store.tags(run, {**_infinities(records), **values["tags"]})
        if any(record.kind == "artifact" for record in records):
            self._checksums(store, stream)
        statuses = [record for record in records if record.kind == "status"]
        if statuses:
            self._status(store, stream, statuses[-1])

    def _status(self, store: MlflowStore, stream: _Stream, last: Record) -> None:
        reason = str(last.values.get("reason", ""))
        if reason != stream.reason:
            store.tags(stream.run_id, {"kindred.reason": reason})
            stream.reason = reason
        store.status(stream.run_id, str(last.values["status"]), end_ms=last.time_ms)

    def _artifact(self, store: MlflowStore, stream: _Stream, record: Record) -> None:
        path, name = self.folder / str(record.values["path"]), str(record.values["name"])
        if not path.is_file():
            _log.warning("artifact %s is gone, it is not delivered", path)
            store.tags(stream.run_id, {f"kindred.missing/{name}": str(record.values["path"])})
            return
        store.artifact(stream.run_id, path, name)
        stream.artifacts[mlflow_name(name)] = sha256(path.read_bytes())

    def _checksums(self, store: MlflowStore, stream: _Stream) -> None:
        """Last of all: a run without this list, or with another, has incomplete artifacts."""
        path = self.folder / f"{stream.path.stem}.checksums.json"
        write_json(path, stream.artifacts)
        store.artifact(stream.run_id, path, "checksums.json")

    def _remember(self) -> None:
        stages = {
            stage: {"run_id": stream.run_id, "offset": stream.offset, "artifacts": stream.artifacts}
            for stage, stream in self._streams.items()
        }
        write_json(self.folder / "sent.json", {"uri": redact(self.uri), "stages": {**self._sent(), **stages}})


def mark_killed(run_folder: Path) -> None:
    """Say that stages still RUNNING were killed. Only true while no driver has the run."""
    for stage in _stages(tracking_folder(run_folder)):
        path = spool_path(run_folder, stage)
        if _last_status(path) == "RUNNING":
            Spool(path).status("KILLED", "its process ended without a word")


@contextlib.contextmanager
def sole_sender(run_folder: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold the right to deliver. Raises OutputError while another process delivers this run, or waits for its end."""
    with (tracking_folder(run_folder) / "sender.lock").open("a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise OutputError(
                f"another process is delivering {run_folder}", code="OUT_LOCKED", fix="wait until it ends"
            ) from error
        yield


def _stages(folder: Path) -> list[str]:
    stages = sorted(path.stem for path in folder.glob("*.jsonl") if path.stat().st_size)
    return [PARENT, *(stage for stage in stages if stage != PARENT)]


def _fresh_points(records: Sequence[Record], seen: set[tuple[str, int]]) -> list[Point]:
    """Points whose (name, step) is not in `seen`, which they join."""
    points = []
    for record in records:
        if record.kind == "metrics":
            fresh = {name: value for name, value in record.floats().items() if (name, record.step) not in seen}
            seen.update((name, record.step) for name in fresh)
            points += [Point(name, value, record.time_ms, record.step) for name, value in fresh.items()]
    return points


def _before(path: Path, offset: int) -> list[Record]:
    return read_spool(path, max_bytes=offset - 1)[0] if offset else []


def _infinities(records: Sequence[Record]) -> dict[str, JsonValue]:
    metrics = (record for record in records if record.kind == "metrics")
    return {
        f"infinite/{name}": f"{value} at step {record.step}"
        for record in metrics
        for name, value in record.floats().items()
        if value in (float("inf"), float("-inf"))
    }


def _last_status(path: Path) -> str | None:
    statuses = [record for record in read_spool(path)[0] if record.kind == "status"]
    return str(statuses[-1].values["status"]) if statuses else None


def _texts(value: JsonValue) -> dict[str, str]:
    return {name: str(text) for name, text in value.items()} if isinstance(value, dict) else {}
