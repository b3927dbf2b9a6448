"""The folder of one run: its lock, its stages, what identifies them and what they returned."""

import contextlib
import fcntl
import json
import os
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from pydantic import JsonValue

from pipeline.digest import canonical_json, sha256
from pipeline.errors import ConfigError, OutputError

RECIPE_NAME = "recipe.json"
"""A recipe with its defaults and overrides: the latest command's in the run folder, the trained one in pretrain/."""


def write_json(path: Path, value: object, *, sort_keys: bool = True) -> None:
    """Write atomically: readers see the old file or the new one, and a failure leaves nothing behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            json.dump(value, file, indent=2, sort_keys=sort_keys, ensure_ascii=False)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException as error:
        os.unlink(temporary)
        if isinstance(error, OSError) and error.filename is None:
            error.filename = str(path)
        raise


def write_recipe(folder: Path, document: JsonValue) -> None:
    """Keep a recipe in a folder, its streams in the order in which they are fused."""
    write_json(folder / RECIPE_NAME, document, sort_keys=False)


def read_json(path: Path) -> dict[str, JsonValue] | None:
    """A JSON object we wrote; None where there is no such file. Raises OutputError when it is damaged."""
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise OutputError(
            f"{path} is damaged", code="OUT_DAMAGED", fix="delete it and run the command again"
        ) from error
    if not isinstance(value, dict):
        raise OutputError(f"{path} does not hold an object", code="OUT_DAMAGED")
    return value


class RunFolder:
    """`<out>/<stage>/...` per stage and `<out>/result.json` for the whole run."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def stage(self, name: str) -> Path:
        """Folder of a stage, created."""
        folder = self.path / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the run exclusively. Raises OutputError naming the holder; the lock ends with its process."""
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            file = (self.path / "LOCK").open("a+", encoding="utf-8")
        except OSError as error:
            raise OutputError(
                f"cannot write to {self.path}: {error.strerror}", code="OUT_READONLY", fix="choose another out=DIR"
            ) from error
        with file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                file.seek(0)
                holder = file.read().strip() or "another process"
                run_id = self.run_ids().get("run", "not yet delivered")
                raise OutputError(
                    f"{self.path} is in use by {holder}, MLflow run {run_id}",
                    code="OUT_LOCKED",
                    fix="wait for that job, stop it, or choose another out=DIR",
                ) from error
            file.seek(0)
            file.truncate()
            file.write(f"pid {os.getpid()} on {os.uname().nodename}\n")
            file.flush()
            yield

    def await_holder(self, seconds: float) -> None:
        """Return when no process holds the run exclusively, or after `seconds`. Raises OutputError as `locked` does."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                with self.locked():
                    return
            except OutputError as error:
                if error.code != "OUT_LOCKED" or time.monotonic() > deadline:
                    raise
            time.sleep(0.1)

    def claim(self, stage: str, identity: Mapping[str, JsonValue]) -> None:
        """Record what a stage is; refuse to go on with another configuration. Raises ConfigError with the diff.

        A stage that has neither a checkpoint nor a result yet may change.
        """
        path = self.stage(stage) / "identity.json"
        earlier = read_json(path)
        if earlier is None or not (self.result(stage) or next(path.parent.rglob("step-*"), None)):
            write_json(path, dict(identity))
            return
        changed = differences(earlier, dict(identity))
        if changed:
            raise ConfigError(
                f"{self.path} holds a {stage} of another configuration: {'; '.join(changed[:8])}",
                code="RESUME_CONFIG",
                field=changed[0].split(":")[0],
                fix="undo the change, choose another out=DIR, or start anew with --fork NAME",
            )

    def has_claim(self, stage: str) -> bool:
        """Whether a stage was begun."""
        return (self.path / stage / "identity.json").exists()

    def run_ids(self) -> dict[str, JsonValue]:
        """MLflow run ids by stage (the recipe's own is `run`), as far as they are delivered; it may not be tracked."""
        stages = (read_json(self.path / "tracking" / "sent.json") or {}).get("stages", {})
        entries = stages.items() if isinstance(stages, dict) else ()
        return {stage: entry["run_id"] for stage, entry in entries if isinstance(entry, dict)}

    def result(self, stage: str) -> dict[str, JsonValue] | None:
        """What a finished stage returned; None while it is not finished. Raises OutputError when it is damaged."""
        path = self.path / stage / "result.json"
        found = read_json(path)
        if found is not None and "metrics" not in found:
            raise OutputError(f"{path} is damaged", code="OUT_DAMAGED", fix="delete it and run the stage again")
        return found

    def metrics(self, stages: Iterable[str]) -> dict[str, JsonValue]:
        """Metrics of the finished ones of these stages, merged."""
        merged: dict[str, JsonValue] = {}
        for stage in stages:
            found = (self.result(stage) or {}).get("metrics")
            merged |= found if isinstance(found, dict) else {}
        return merged

    def finish(self, stage: str, result: Mapping[str, JsonValue]) -> None:
        """Mark a stage as finished."""
        write_json(self.stage(stage) / "result.json", dict(result))

    def reopen(self, stage: str) -> None:
        """Make a stage one that is not finished: it is run again."""
        (self.path / stage / "result.json").unlink(missing_ok=True)


def numbers(metrics: Mapping[str, JsonValue]) -> dict[str, float]:
    """The numeric ones."""
    return {name: float(value) for name, value in metrics.items() if isinstance(value, int | float)}


def differences(old: JsonValue, new: JsonValue, path: str = "") -> list[str]:
    """Leaves that differ, as "a.b: old -> new"."""
    if isinstance(old, dict) and isinstance(new, dict):
        found = []
        for key in sorted(old.keys() | new.keys()):
            found += differences(old.get(key), new.get(key), f"{path}.{key}" if path else key)
        return found
    return [] if old == new else [f"{path}: {json.dumps(old)} -> {json.dumps(new)}"]


def identity_hash(identity: Mapping[str, JsonValue]) -> str:
    """Hash of an identity, the job key of tracking."""
    return sha256(canonical_json(dict(identity)))
