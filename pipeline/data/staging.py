"""A data set folder appears whole or not at all: made beside its place by restartable units, flushed, renamed."""

import fcntl
import hashlib
import json
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.data.durable import flush_folder, write_durably
from pipeline.data.manifest import Manifest, load_manifest
from pipeline.data.unit_result import read_result, result_name
from pipeline.data.work_units import Unit
from pipeline.data.write_unit import WRITERS_LOCK, Stage
from pipeline.errors import DataError, OutputError, StorageError

ORIGIN_NAME = "origin.json"

_FIX = "start anew with --fork NAME, choose another data.path, or delete the folder"


@dataclass(frozen=True)
class Origin:
    """What a data set was made from: hash of the description, and of names, sizes and times of the raw files."""

    description_sha256: str
    raw_sha256: str

    def write(self, folder: Path) -> None:
        """Store it beside the manifest."""
        write_durably(folder / ORIGIN_NAME, json.dumps(asdict(self)).encode())


def raw_digest(tables: Sequence[tuple[str, int, int]], units: Sequence[Unit]) -> str:
    """sha256 over (name, size, modification time) of the record tables, and over the units' hashes."""
    document = [list(tables), [unit.sha256 for unit in units]]
    return hashlib.sha256(json.dumps(document).encode()).hexdigest()


def existing(out: Path, origin: Origin) -> Manifest | None:
    """The finished data set in `out` when it has this origin, None when there is none. Raises OutputError."""
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return None
    try:
        manifest = load_manifest(out)
        found = Origin(**json.loads((out / ORIGIN_NAME).read_bytes()))
    except (DataError, OSError, ValueError, TypeError) as error:
        raise _occupied(out, "holds something else than a finished data set") from error
    if found.description_sha256 != origin.description_sha256:
        raise _occupied(out, "was made from another description")
    if found.raw_sha256 != origin.raw_sha256:
        raise _occupied(
            out,
            "was made from raw files with other names, sizes or times",
            fix=f"if they were only copied or mounted anew, data.ingest=null takes the data set as it is; else {_FIX}",
        )
    for shard in manifest.shards:
        path = out / "shards" / shard.name
        if not path.is_file() or path.stat().st_size != shard.bytes:
            raise _occupied(out, f"is damaged: {shard.name} is missing or has the wrong size")
    return manifest


def _occupied(out: Path, why: str, fix: str = _FIX) -> OutputError:
    return OutputError(f"{out} {why}", code="OUT_EXISTS", got=str(out), fix=fix)


@contextmanager
def staged(out: Path) -> Iterator[Stage]:
    """A stage beside `out` whose data become `out` on success; one ingest at a time.

    After a failure or a kill the stage stays, and the next ingest keeps its finished units, see `unfinished`. Raises
    OutputError while another process writes, StorageError when the disk refuses.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    stage = Stage(*(out.parent.resolve() / f".{out.name}.{name}" for name in ("partial", "units")))
    with (out.parent / f".{out.name}.lock").open("w") as lock:
        _acquire(lock.fileno(), out)
        if out.exists() and any(out.iterdir()):  # finished by another process meanwhile
            raise _occupied(out, "was written by another process just now")
        try:
            for folder in (stage.shards, stage.units):
                folder.mkdir(parents=True, exist_ok=True)
            with (stage.units / WRITERS_LOCK).open("a") as writers:
                _acquire(writers.fileno(), out)
            yield stage
            _flush_folders(stage.data)
            stage.data.rename(out)
            flush_folder(out.parent)
            shutil.rmtree(stage.units)
        except OSError as error:  # the sources report their own
            raise StorageError(
                f"cannot write {out}: {error.strerror}",
                code="STORAGE_IO",
                got=str(out),
                fix="check disk space and rights, then type the same command again: finished units are kept",
            ) from error


def unfinished(stage: Stage, units: Sequence[Unit]) -> list[Unit]:
    """Units without a valid result in the stage; whatever does not belong to the other units is deleted."""
    keep: set[Path] = {stage.shards, stage.units / WRITERS_LOCK}
    missing = []
    for unit in units:
        path = stage.units / result_name(unit.number)
        result = read_result(path, sha256=unit.sha256, shards=stage.shards)
        if result is None:
            missing.append(unit)
            continue
        keep |= {path, *(stage.shards / entry.name for entry in result[0].shards)}
    for path in [*stage.data.iterdir(), *stage.shards.iterdir(), *stage.units.iterdir()]:
        if path not in keep:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
    return missing


def _acquire(descriptor: int, out: Path) -> None:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError as error:
        raise OutputError(
            f"another process is writing {out}", code="OUT_BUSY", got=str(out), fix="wait for it to finish"
        ) from error


def _flush_folders(folder: Path) -> None:
    for path in [*folder.rglob("*"), folder]:
        if path.is_dir():
            flush_folder(path)
