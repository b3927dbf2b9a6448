"""What ended the workers of one command, left in the run folder for its driver: Ray's errors would lose its type."""

import json
import shutil
from pathlib import Path

from pydantic import JsonValue

from jobs._run_folder import write_json
from pipeline import errors
from pipeline.errors import KindredError, Problems


class WorkerErrors:
    """Errors by rank. Each command has its own: what a worker of an earlier one still raises is no news to a later."""

    def __init__(self, folder: Path, command: str) -> None:
        self.root = folder / "errors"
        self.path = self.root / command

    def forget(self) -> None:
        """A new command begins."""
        shutil.rmtree(self.root, ignore_errors=True)

    def leave(self, rank: int, error: KindredError) -> bool:
        """Called by the worker of this rank; False where the disk does not take it, which must not hide the error."""
        try:
            write_json(self.path / f"rank-{rank}.json", {"type": type(error).__name__, **error.record()})
        except OSError:
            return False
        return True

    def first(self) -> KindredError | None:
        """The error of the lowest rank that left one."""
        for path in sorted(self.path.glob("rank-*.json")):
            record = json.loads(path.read_text(encoding="utf-8"))
            return _rebuild(record.pop("type"), record)
        return None


def _rebuild(name: str, record: dict[str, JsonValue]) -> KindredError:
    if name == "Problems":
        problems = record["problems"]
        assert isinstance(problems, list)  # noqa: S101 - written by leave
        return Problems([_rebuild("KindredError", dict(problem)) for problem in problems])  # pyright: ignore
    kind = getattr(errors, name)
    return kind(str(record.pop("message")), **record)
