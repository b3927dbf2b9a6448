"""A data set folder appears whole or not at all: written beside its place, flushed, renamed."""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from pipeline.data.description import Description
from pipeline.data.manifest import Manifest, load_manifest
from pipeline.data.raw_files import resolve_inside
from pipeline.data.records import Record
from pipeline.data.shards import write_durably
from pipeline.errors import DataError, OutputError, SecurityError, StorageError

ORIGIN_NAME = "origin.json"


@dataclass(frozen=True)
class Origin:
    """What a data set was made from: hash of the description, and of names, sizes and times of the raw files."""

    description_sha256: str
    raw_sha256: str

    def write(self, folder: Path) -> None:
        """Store it beside the manifest."""
        write_durably(folder / ORIGIN_NAME, json.dumps(asdict(self)).encode())


def raw_digest(description: Description, records: Sequence[Record], root: Path) -> str:
    """sha256 over (name, size, modification time) of the record table and every file that records name."""
    names = {description.records.path}
    names.update(name for r in records for source in description.streams.values() for name in source.files(r))
    stats = [[name, *_stat(root, name)] for name in sorted(names)]
    return hashlib.sha256(json.dumps(stats).encode()).hexdigest()


def _stat(root: Path, name: str) -> tuple[int, int]:
    try:
        stat = resolve_inside(root, name).stat()
    except (OSError, SecurityError):  # reported with its record when it is read
        return -1, -1
    return stat.st_size, stat.st_mtime_ns


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
        raise _occupied(out, "was made from raw files that have changed since")
    for shard in manifest.shards:
        path = out / "shards" / shard.name
        if not path.is_file() or path.stat().st_size != shard.bytes:
            raise _occupied(out, f"is damaged: {shard.name} is missing or has the wrong size")
    return manifest


def _occupied(out: Path, why: str) -> OutputError:
    return OutputError(
        f"{out} {why}", code="OUT_EXISTS", got=str(out), fix="delete the folder, or choose another data.path"
    )


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A fresh folder beside `out` that becomes `out` on success and is removed on failure; one writer at a time.

    What a killed writer left behind is removed first. Raises OutputError while another process writes, StorageError
    when the disk refuses.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.parent / f".{out.name}.partial"
    with (out.parent / f".{out.name}.lock").open("w") as lock:
        _acquire(lock.fileno(), out)
        if out.exists() and any(out.iterdir()):  # finished by another process meanwhile
            raise _occupied(out, "was written by another process just now")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir()
        try:
            yield partial
            _flush_folders(partial)
            partial.rename(out)
            _flush(out.parent)
        except OSError as error:  # the sources report their own
            raise StorageError(
                f"cannot write {out}: {error.strerror}",
                code="STORAGE_IO",
                got=str(out),
                fix="check disk space and rights",
            ) from error
        finally:
            shutil.rmtree(partial, ignore_errors=True)


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
            _flush(path)


def _flush(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
