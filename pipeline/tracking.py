"""What the pipeline logs to, and the spool on disk that keeps it until somebody delivers it.

The training thread only appends a line to a local file. Time stamps are fixed then, so that a later delivery of the
same line is the same point. A file survives the death of its writer; a line torn by that death is skipped.
"""

import errno
import fcntl
import json
import logging
import math
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, Protocol, TypeAlias, get_args

from pydantic import JsonValue

from pipeline.errors import StorageError

Kind: TypeAlias = Literal["metrics", "params", "tags", "artifact", "dataset", "status"]
History: TypeAlias = dict[str, list[tuple[int, float]]]
_log = logging.getLogger(__name__)


class Run(Protocol):
    """Where a stage logs. Names are `group/name`; none of these calls waits for a server."""

    def metrics(self, values: Mapping[str, float], step: int) -> None: ...

    def params(self, values: Mapping[str, JsonValue]) -> None: ...

    def tags(self, values: Mapping[str, str]) -> None: ...

    def artifact(self, path: Path, name: str) -> None:
        """A file that belongs to the run, under the relative name `name`; it must stay until it is delivered."""
        ...


@dataclass(frozen=True)
class Record:
    """One line of a spool: `seq` is the byte position it was written at, `time_ms` the Unix time of its creation."""

    seq: int
    time_ms: int
    kind: Kind
    values: dict[str, JsonValue]
    step: int = 0

    def floats(self) -> dict[str, float]:
        """Values of a metrics record; NaN and infinities are strings in JSON."""
        return {name: float(value) for name, value in self.values.items() if isinstance(value, str | int | float)}


class Spool:
    """A Run that appends to `path` (JSON lines). `prefix` goes before every metric name, e.g. "pretrain/".

    Each call is one write to a file opened for appending: no buffer, nothing to flush, nothing lost at SIGKILL. Several
    processes may append to one file, say a driver and its worker. Raises StorageError where the disk refuses it.
    """

    def __init__(
        self, path: Path, *, prefix: str = "", clock: Callable[[], int] = lambda: time.time_ns() // 1_000_000
    ) -> None:
        self.path, self.prefix, self._clock = path, prefix, clock
        path.parent.mkdir(parents=True, exist_ok=True)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        floats = {f"{self.prefix}{name}": float(value) for name, value in values.items()}
        self._append("metrics", {n: v if math.isfinite(v) else str(v) for n, v in floats.items()}, step)

    def params(self, values: Mapping[str, JsonValue]) -> None:
        self._append("params", values)

    def tags(self, values: Mapping[str, str]) -> None:
        self._append("tags", values)

    def artifact(self, path: Path, name: str) -> None:
        self._append("artifact", {"path": os.path.relpath(path, self.path.parent), "name": name})

    def dataset(self, *, name: str, digest: str, source: str) -> None:
        """The data set a stage reads."""
        self._append("dataset", {"name": name, "digest": digest, "source": source})

    def status(self, status: str, reason: str = "") -> None:
        """RUNNING, FINISHED, FAILED or KILLED; the last one counts."""
        self._append("status", {"status": status, "reason": reason})

    def _append(self, kind: Kind, values: Mapping[str, JsonValue], step: int = 0) -> None:
        record = {"ms": self._clock(), "kind": kind, "step": step, "values": dict(values)}
        try:
            with self.path.open("ab+", buffering=0) as file:
                fcntl.flock(file, fcntl.LOCK_EX)
                size = os.fstat(file.fileno()).st_size
                torn = size > 0 and os.pread(file.fileno(), 1, size - 1) != b"\n"
                line = json.dumps({"seq": size + torn, **record}, separators=(",", ":")) + "\n"
                payload = b"\n" * torn + line.encode()  # close a dead writer's line, so that it spoils itself only
                if file.write(payload) != len(payload):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except OSError as error:
            raise StorageError(
                f"cannot append to {self.path}: {error.strerror}",
                code="IO_TRACKING",
                field=str(self.path),
                fix="free space, then run the same command again",
            ) from error


def read_spool(path: Path, offset: int = 0, *, max_bytes: int = -1) -> tuple[list[Record], int]:
    """Whole records from byte `offset` on, and the offset to go on from; a torn line is skipped and logged.

    `max_bytes` bounds what is read, up to the end of the line it falls into; -1 reads everything.
    """
    if not path.exists():
        return [], offset
    with path.open("rb") as file:
        file.seek(offset)
        whole = file.read(max_bytes) + file.readline()
    whole = whole[: whole.rfind(b"\n") + 1]
    records = [_parse(line) for line in whole.split(b"\n")[:-1]]
    torn = sum(record is None for record in records)
    if torn:
        _log.warning("%s: %d torn lines skipped", path, torn)
    return [record for record in records if record is not None], offset + len(whole)


def _parse(line: bytes) -> Record | None:
    try:
        raw = json.loads(line)
    except ValueError:
        return None
    if not isinstance(raw, dict) or raw.get("kind") not in get_args(Kind) or not isinstance(raw.get("values"), dict):
        return None
    numbers = [raw.get("seq"), raw.get("ms"), raw.get("step")]
    if not all(isinstance(number, int) for number in numbers):
        return None
    return Record(seq=raw["seq"], time_ms=raw["ms"], kind=raw["kind"], values=raw["values"], step=raw["step"])


def history(records: Iterable[Record]) -> History:
    """Metric name -> (step, value) by step, one point per step: after a resume the later attempt's counts."""
    points: dict[str, dict[int, float]] = defaultdict(dict)
    for record in records:
        if record.kind == "metrics":
            for name, value in record.floats().items():
                points[name][record.step] = value
    return {name: sorted(steps.items()) for name, steps in points.items()}


@dataclass
class MemoryRun:
    """A Run that keeps everything in lists."""

    logged: list[tuple[int, dict[str, float]]] = field(default_factory=list)
    noted: dict[str, JsonValue] = field(default_factory=dict)
    tagged: dict[str, str] = field(default_factory=dict)
    files: dict[str, Path] = field(default_factory=dict)

    def metrics(self, values: Mapping[str, float], step: int) -> None:
        self.logged.append((step, dict(values)))

    def params(self, values: Mapping[str, JsonValue]) -> None:
        self.noted.update(values)

    def tags(self, values: Mapping[str, str]) -> None:
        self.tagged.update(values)

    def artifact(self, path: Path, name: str) -> None:
        self.files[name] = path
