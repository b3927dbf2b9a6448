"""Typed errors. Each names where, what, and the fix; `exit_code` is what the command line returns.

KindredError
├── ConfigError        64  recipe, overrides, paths in them
├── DataError          65  shards, manifests, records, samples
│   ├── LeakError      65  a group or window on both sides of a split
│   └── NotMeasurable  65  a metric that these samples cannot give
├── CheckpointError    66  missing, damaged or incompatible checkpoint or weights
├── TrackingError      69  tracking server, only where it is required
├── EnvironmentFault   71  memory, shared memory, ports, versions
│   └── ClusterLost    75  a Ray cluster that is gone: run the same command again
├── OutputError        73  run folder unusable or held by another job
├── StorageError       74  disk full, I/O error
│   └── StorageUnavailable 75  storage that does not answer: run the same command again
├── Preempted          75  stopped after a checkpoint: run the same command again
│   └── Fenced         75  a newer process trains this run
├── TrainingHealthError 76 non-finite loss, rank desynchronisation
└── SecurityError      77  forbidden file type, URL or path
"""

import json
from typing import ClassVar


class KindredError(Exception):
    """Root of the tree. Fields that do not apply stay None; payload bytes and secrets never go in."""

    exit_code: ClassVar[int] = 70
    fields: ClassVar[tuple[str, ...]] = ("shard", "offset", "key", "field", "expected", "got")

    def __init__(  # noqa: PLR0913 - the fields of the contract, all optional keywords
        self,
        message: str,
        *,
        code: str,
        fix: str = "",
        shard: str | None = None,
        offset: int | None = None,
        key: str | None = None,
        field: str | None = None,
        expected: object = None,
        got: object = None,
    ) -> None:
        super().__init__(message)
        self.message, self.code, self.fix = message, code, fix
        self.shard, self.offset, self.key, self.field = shard, offset, key, field
        self.expected, self.got = expected, got

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.record())

    def record(self) -> dict[str, object]:
        """The error as plain JSON values."""
        details = {name: getattr(self, name) for name in self.fields if getattr(self, name) is not None}
        return {"code": self.code, "message": self.message, "fix": self.fix, **details}

    def __str__(self) -> str:
        details = {name: getattr(self, name) for name in self.fields if getattr(self, name) is not None}
        where = " ".join(f"{name}={_plain(value)}" for name, value in details.items())
        parts = [
            f"{self.code}: {_escape(self.message)}",
            f"[{where}]" if where else "",
            self.fix and f"Fix: {self.fix}",
        ]
        return " ".join(part for part in parts if part)


def _rebuild(kind: type[KindredError], record: dict[str, object]) -> KindredError:
    return kind(record.pop("message"), **record)  # pyright: ignore[reportArgumentType] - inverse of `record`


def _plain(value: object) -> str:
    return _escape(value if isinstance(value, str) else json.dumps(value, default=str, ensure_ascii=False))


def _escape(text: str) -> str:
    """Control characters of untrusted names must not reach a terminal."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape", "surrogatepass").decode() for c in text)


class ConfigError(KindredError):
    """A recipe, an override or a path in them is wrong."""

    exit_code = 64


class DataError(KindredError):
    """A record, sample, shard or manifest is wrong."""

    exit_code = 65


class LeakError(DataError):
    """A group, window or content lies on both sides of a split."""

    exit_code = 65


class NotMeasurable(DataError):
    """These samples are too few, or too much alike in what they are, for a metric."""


class CheckpointError(KindredError):
    """A checkpoint or its weights are missing, damaged or of something else."""

    exit_code = 66


class TrackingError(KindredError):
    """The tracking server or its run is not usable."""

    exit_code = 69


class EnvironmentFault(KindredError):
    """The machine or its services cannot run the job."""

    exit_code = 71


class ClusterLost(EnvironmentFault):
    """The cluster lost the job; the same command resumes it."""

    exit_code = 75


class OutputError(KindredError):
    """The run folder is not usable."""

    exit_code = 73


class StorageError(KindredError):
    """The disk refused to write."""

    exit_code = 74


class StorageUnavailable(StorageError):
    """Storage does not answer; the same command may work later."""

    exit_code = 75


class Preempted(KindredError):
    """The job stopped on request, after a checkpoint."""

    exit_code = 75


class Fenced(Preempted):
    """A newer process trains this run. Raised by the rank that saves, alone."""


class TrainingHealthError(KindredError):
    """Training left its healthy range."""

    exit_code = 76


class SecurityError(KindredError):
    """Something untrusted asked for what is forbidden."""

    exit_code = 77


def kind_of(exit_code: int) -> type[KindredError]:
    """The kind of error that a process ended by; KindredError itself for an exit code that none has."""
    kinds = {kind.exit_code: kind for kind in KindredError.__subclasses__() if isinstance(kind.exit_code, int)}
    return kinds.get(exit_code, KindredError)


class Problems(KindredError):
    """Several problems found in one pass; the exit code is the first one's."""

    def __init__(self, problems: list[KindredError]) -> None:
        super().__init__("\n".join(str(p) for p in problems), code=problems[0].code)
        self.problems = problems

    def __reduce__(self) -> tuple[object, ...]:
        return Problems, (self.problems,)

    @property
    def exit_code(self) -> int:  # pyright: ignore[reportIncompatibleVariableOverride] - one per instance here
        return self.problems[0].exit_code

    def record(self) -> dict[str, object]:
        return {"code": self.code, "problems": [p.record() for p in self.problems]}

    def __str__(self) -> str:
        head = f"{len(self.problems)} problem{'s' * (len(self.problems) > 1)} found:"
        return "\n  ".join([head, *(str(p) for p in self.problems)])
