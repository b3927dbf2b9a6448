"""The checkpoints of a run folder: each is whole or absent, whatever happens while it is written.

A checkpoint is written into a temporary folder, fsynced, checked, fenced by the attempt number, renamed to
`step-00000123`, and never overwritten. Reading falls back to the newest older one that is valid.

The fence holds without locks. A new attempt first takes its number, then renames every temporary folder away; an older
writer looks for newer numbers before its own rename. Whichever of the two it misses, the other one stops it.
"""

import contextlib
import errno
import logging
import os
import re
import shutil
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

from pydantic import JsonValue

from pipeline.data.durable import flush_folder
from pipeline.errors import CheckpointError, Fenced, StorageError
from pipeline.train.background_upload import BackgroundUpload
from pipeline.train.checkpoint import Checkpoint, Parts, read_checkpoint, write_checkpoint

_NAME = re.compile(r"^step-(\d{8})$")
_ATTEMPT = re.compile(r"^attempt-(\d{6})$")
_REPAIR = "free space or repair the storage, then run the same command again"
_log = logging.getLogger(__name__)


class CheckpointStore:
    """The checkpoints of one run folder, written by one attempt at a time; `uploads` copies each elsewhere."""

    def __init__(self, folder: Path, *, keep: int = 2, uploads: BackgroundUpload | None = None) -> None:
        self.folder, self.keep, self.attempt = folder, keep, 0
        self.uploads = uploads or BackgroundUpload()

    def begin_attempt(self) -> None:
        """Fence off every earlier writer: from now on only this attempt may commit. Raises StorageError."""
        with self._storing("begin an attempt"):
            self.folder.mkdir(parents=True, exist_ok=True)
            number = max(self._attempts(), default=0) + 1
            while not _created(self.folder / f"attempt-{number:06d}"):
                number += 1
            self.attempt = number
            self._sweep()
        self.uploads.begin_attempt()

    def _attempts(self) -> list[int]:
        return [int(m[1]) for entry in self.folder.iterdir() if (m := _ATTEMPT.match(entry.name))]

    def _sweep(self) -> None:
        """Take their folders away from earlier writers, which may still run, and remove what can be removed."""
        for unfinished in self.folder.glob(".tmp-*"):
            with contextlib.suppress(FileNotFoundError):  # its writer was faster: it is committed, or gone
                unfinished.rename(self.folder / f".removed-{uuid.uuid4().hex}")
        for removed in self.folder.glob(".removed-*"):
            shutil.rmtree(removed, ignore_errors=True)  # nobody reads it; the next attempt tries again

    @contextlib.contextmanager
    def _storing(self, what: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise StorageError(
                f"could not {what}: {error.strerror}",
                code="IO_CHECKPOINT",
                field=str(self.folder),
                fix="raise the limit of open files (ulimit -n)" if error.errno == errno.EMFILE else _REPAIR,
            ) from error

    def save(self, step: int, parts: Parts, state: dict[str, JsonValue]) -> Path:
        """Commit a checkpoint of `step`. Raises StorageError, or Fenced when a newer attempt has begun."""
        target = self.commit(step, lambda folder: write_checkpoint(folder, step, parts, state, attempt=self.attempt))
        self.uploads.submit(target)
        return target

    def commit(self, step: int, write: Callable[[Path], object]) -> Path:
        """Commit the checkpoint that `write` puts into an empty folder, durably and checked. Raises what `write` does,
        StorageError, or Fenced when a newer attempt has begun.
        """
        target = self._place(step)
        with self._storing(f"save {target.name}"):
            try:
                if not target.exists() or self._made_room(target, step):
                    self._commit(target, step, write)
                    self._prune(step)
            except OSError:
                self._check_fence()  # a newer attempt removes files under this one's hands: no failing storage
                raise
        return target

    def _made_room(self, target: Path, step: int) -> bool:
        """Set a damaged checkpoint aside, which a replay has reached again; False where it is valid."""
        valid = self._is_valid(step)
        self._check_fence()
        if valid:
            return False
        aside = target.with_name(f"damaged-{target.name}-{uuid.uuid4().hex}")
        target.rename(aside)
        try:
            self._check_fence()
        except Fenced:
            aside.rename(target)  # it may be what the newer attempt has saved meanwhile
            raise
        return True

    def _commit(self, target: Path, step: int, write: Callable[[Path], object]) -> None:
        temporary = self.folder / f".tmp-{step:08d}-{self.attempt:06d}-{uuid.uuid4().hex}"
        try:
            temporary.mkdir()
            write(temporary)
            self._check_fence()
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)
        flush_folder(self.folder)

    def _check_fence(self) -> None:
        newest = max(self._attempts(), default=0)
        if newest != self.attempt:
            raise Fenced(
                f"attempt {self.attempt} was replaced by attempt {newest}",
                code="CKPT_FENCED",
                fix="a newer process trains this run; leave it to that one",
            )

    def _prune(self, saved: int) -> None:
        """Remove what is older than `keep` valid checkpoints; a damaged one does not count."""
        valid = 0
        for step in reversed(self.steps()):
            if valid == self.keep:
                if not self.uploads.holds(self._place(step)):
                    shutil.rmtree(self._place(step))
            elif step == saved or self._is_valid(step):
                valid += 1

    def _is_valid(self, step: int) -> bool:
        try:
            self.read(step)
        except CheckpointError as error:
            _log.warning("checkpoint is not valid: %s", error)
            return False
        return True

    def _place(self, step: int) -> Path:
        return self.folder / f"step-{step:08d}"

    def steps(self) -> list[int]:
        """Committed steps, ascending; order comes from the name, never from clocks."""
        if not self.folder.is_dir():
            return []
        return sorted(int(m[1]) for entry in self.folder.iterdir() if (m := _NAME.match(entry.name)))

    def read(self, step: int) -> Checkpoint:
        """The checkpoint of a step, verified. Raises CheckpointError where it is damaged or another step's."""
        found = read_checkpoint(self._place(step))
        if found.step != step:
            raise CheckpointError(
                f"{found.path} holds another step's checkpoint",
                code="CKPT_MIXED",
                field="step",
                expected=step,
                got=found.step,
                fix="the next older one is used",
            )
        return found

    def newest(self) -> Checkpoint | None:
        """The newest valid checkpoint; None where there is none at all. Raises CheckpointError if all are damaged."""
        steps = self.steps()
        for step in reversed(steps):
            try:
                return self.read(step)
            except CheckpointError as error:
                _log.warning("checkpoint skipped: %s", error)
        if steps:
            raise CheckpointError(
                f"none of {len(steps)} checkpoints in {self.folder} is valid",
                code="CKPT_NONE_VALID",
                fix="restore one from a backup or start a new run folder",
            )
        return None


def _created(path: Path) -> bool:
    """Make an empty file; False where there is one."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True
