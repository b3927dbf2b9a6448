"""Copies of a run's checkpoints in a bucket, for a machine that has lost its disk.

Every attempt has a folder of its own, `attempt-000003-<random>/`: the object `RUN` says which run it trains, and
`step-00000123/` holds the files of a checkpoint, its manifest uploaded last. A bucket has neither renames nor locks, so
attempts share nothing: each writes into its own folder only, and the one with the greatest name owns the mirror. An
older one sees that before it completes a checkpoint, and never touches what a newer one wrote.
"""

import io
import logging
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from pipeline.data.download import Expected, Retries, download, tried
from pipeline.data.durable import flush_folder
from pipeline.data.remote_folder import RemoteFolder
from pipeline.errors import CheckpointError, DataError, Fenced, StorageError, StorageUnavailable
from pipeline.train.checkpoint import (
    MANIFEST_NAME,
    MAX_MANIFEST_BYTES,
    Checkpoint,
    canonical_json,
    read_checkpoint,
    read_manifest,
    sha256,
)
from pipeline.train.state import check_identity

_MARK = "RUN"
_FILE = re.compile(
    rf"(?P<attempt>attempt-\d{{6}}-[0-9a-f]{{8}})/"
    rf"(?:{_MARK}|(?P<folder>step-(?P<step>\d{{8}}))/(?P<file>{re.escape(MANIFEST_NAME)}|[a-z][a-z0-9_]*\.safetensors))"
)
_log = logging.getLogger(__name__)


@dataclass(frozen=True, order=True)
class MirroredCheckpoint:
    """Where a whole checkpoint lies; the greatest is the newest."""

    step: int
    attempt: str

    @property
    def folder(self) -> str:
        """Below the mirror."""
        return f"{self.attempt}/step-{self.step:08d}"


class CheckpointMirror:
    """The mirror of one run, written by one attempt at a time. `remote` is the run's own folder."""

    def __init__(
        self, remote: RemoteFolder, identity: Mapping[str, JsonValue], *, keep: int = 2, retries: Retries | None = None
    ) -> None:
        self.remote, self.identity, self.keep, self.retries = remote, identity, keep, retries or Retries()
        self.attempt = ""
        self._uploaded: list[str] = []

    def begin_attempt(self) -> None:
        """Fence off every earlier writer: from now on only this attempt completes checkpoints.

        Raises CheckpointError where the mirror is another run's, StorageError, SecurityError.
        """
        mark = canonical_json({"identity": sha256(canonical_json(dict(self.identity)))})
        newest = max(self._attempts(), default=None)
        if newest is not None:
            self._check_run(newest, mark)
        number = 1 if newest is None else int(newest.split("-")[1]) + 1
        self.attempt, self._uploaded = f"attempt-{number:06d}-{secrets.token_hex(4)}", []
        self._put(f"{self.attempt}/{_MARK}", mark)

    def checkpoints(self) -> list[MirroredCheckpoint]:
        """Those with a manifest, the newest first; none is verified. Raises StorageError, SecurityError."""
        found = [m for m in self._files() if m["file"] == MANIFEST_NAME]
        return sorted((MirroredCheckpoint(int(m["step"]), m["attempt"]) for m in found), reverse=True)

    def fetch(self, place: MirroredCheckpoint, folder: Path) -> Checkpoint:
        """Copy a checkpoint into an empty folder, durably, and verify it.

        Raises CheckpointError where it is damaged or another run's, StorageUnavailable, SecurityError, OSError.
        """
        try:
            self._download(place, MANIFEST_NAME, folder, Expected(MAX_MANIFEST_BYTES))
            for name, entry in read_manifest(folder).files.items():
                expected = Expected(entry.bytes, entry.bytes, entry.sha256)
                self._download(place, f"{name}.safetensors", folder, expected)
        except StorageUnavailable:
            raise
        except (DataError, StorageError) as error:
            raise _damaged(place, error.message) from error
        flush_folder(folder)
        checkpoint = read_checkpoint(folder)
        if checkpoint.step != place.step:
            raise _damaged(place, f"it holds step {checkpoint.step}")
        check_identity(checkpoint, self.identity)
        return checkpoint

    def upload(self, folder: Path) -> None:
        """Copy a committed checkpoint, then remove what is older than `keep` of this attempt's.

        Raises Fenced when a newer attempt has begun, StorageError, SecurityError.
        """
        if folder.name in self._uploaded:
            return
        for path in sorted(folder.iterdir(), key=lambda path: (path.name == MANIFEST_NAME, path.name)):
            if path.name == MANIFEST_NAME:
                self._check_fence()
            self._put(f"{self.attempt}/{folder.name}/{path.name}", path)
        self._uploaded.append(folder.name)
        try:
            self._prune()
        except StorageError as error:
            _log.warning("older checkpoints are still in the mirror: %s", error)

    def _prune(self) -> None:
        """Another attempt's are not known to be valid, so they go only when there are enough of this one's."""
        if len(self._uploaded) < self.keep:
            return
        kept = {(self.attempt, folder) for folder in [None, *self._uploaded[-self.keep :]]}
        old = [m for m in self._files() if m["attempt"] <= self.attempt and (m["attempt"], m["folder"]) not in kept]
        # A checkpoint without its manifest is none; a mark goes last, as it says whose the rest is.
        for name in sorted(
            (m[0] for m in old), key=lambda name: (not name.endswith(MANIFEST_NAME), name[-3:] == _MARK)
        ):
            tried(lambda name=name: self.remote.remove(name), self.remote, name, self.retries)

    def _check_fence(self) -> None:
        newest = max(self._attempts(), default="")
        if newest > self.attempt:
            raise Fenced(
                f"{self.attempt} was replaced by {newest} in {self.remote.url}",
                code="CKPT_FENCED",
                fix="a newer process trains this run; leave it to that one",
            )

    def _check_run(self, attempt: str, mark: bytes) -> None:
        payload = io.BytesIO()
        download(self.remote, f"{attempt}/{_MARK}", payload, Expected(1024), self.retries)
        if payload.getvalue() != mark:
            raise CheckpointError(
                f"{self.remote.url} holds checkpoints of another run",
                code="CKPT_MIXED",
                field=f"{self.remote.section}.path",
                fix="give every run a mirror, or a run folder, of another name",
            )

    def _attempts(self) -> list[str]:
        return [m["attempt"] for m in self._files() if m["file"] is None]

    def _files(self) -> list[re.Match[str]]:
        """Our objects; what others keep there is none of our business."""
        names = tried(self.remote.names, self.remote, "", self.retries)
        return [found for name in names if (found := _FILE.fullmatch(name))]

    def _put(self, name: str, content: Path | bytes) -> None:
        tried(lambda: self.remote.put(name, content), self.remote, name, self.retries)

    def _download(self, place: MirroredCheckpoint, name: str, folder: Path, expected: Expected) -> None:
        with (folder / name).open("wb") as file:
            download(self.remote, f"{place.folder}/{name}", file, expected, self.retries)
            file.truncate()
            file.flush()
            os.fsync(file.fileno())


def _damaged(place: MirroredCheckpoint, what: str) -> CheckpointError:
    return CheckpointError(
        f"{place.folder} in the mirror is damaged: {what}", code="CKPT_DAMAGED", fix="the next older one is used"
    )
