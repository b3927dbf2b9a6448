"""Checkpoints that are either whole or absent.

A checkpoint is a folder `step-00000123` of safetensors files and one self-hashed MANIFEST.json. It is written into a
temporary folder, fsynced, checked, fenced by the attempt number, renamed, and never overwritten. Reading verifies every
hash before use and falls back to the newest older one that is valid. Nothing is pickled.
"""

import hashlib
import json
import logging
import os
import re
import shutil
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import JsonValue
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pipeline.data.durable import flush_folder
from pipeline.errors import CheckpointError, Preempted, StorageError

FORMAT, MAX_MANIFEST_BYTES = 1, 64 << 20
Parts = Iterable[tuple[str, Mapping[str, Tensor]]]
"""Files of a checkpoint, one after the other: those of a large memory are never all at hand."""
_NAME = re.compile(r"^step-(\d{8})$")
_PART = re.compile(r"^[a-z][a-z0-9_]*$")
_ATTEMPT = re.compile(r"^attempt-(\d{6})$")
_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files matched their hashes when it was opened; `state` is plain JSON, tensors stay on disk."""

    step: int
    path: Path
    files: dict[str, str]
    state: dict[str, JsonValue]

    def part(self, name: str) -> dict[str, Tensor]:
        """Tensors of one file, e.g. "model". Raises CheckpointError where the part is missing or has changed."""
        if name not in self.files:
            raise CheckpointError(f"{self.path} has no {name}", code="CKPT_MISSING", field=name, fix="use an older one")
        path = self.path / f"{name}.safetensors"
        payload = _read(path)
        if sha256(payload) != self.files[name]:
            raise _damaged(path, "does not match its hash")
        return _tensors(path, payload)


def canonical_json(value: object) -> bytes:
    """Sorted, compact UTF-8 JSON: equal values give equal bytes."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False).encode()


def sha256(payload: bytes) -> str:
    return hashlib.sha256(payload).hexdigest()


def state_hash(parts: Parts, state: JsonValue) -> str:
    """Hash of every tensor's name, dtype, shape and bytes, in the order of the parts, and of the JSON state."""
    digest = hashlib.sha256(canonical_json(state))
    for part, tensors in parts:
        for name in sorted(tensors):
            tensor = tensors[name].detach().cpu().contiguous()
            digest.update(f"{part}/{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
            digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


class CheckpointStore:
    """The checkpoints of one run folder, written by one attempt at a time."""

    def __init__(self, folder: Path, *, keep: int = 2) -> None:
        self.folder, self.keep, self.attempt = folder, keep, 0

    def begin_attempt(self) -> None:
        """Fence off every earlier writer: from now on only this attempt may commit."""
        self.folder.mkdir(parents=True, exist_ok=True)
        number = max(self._attempts(), default=0)
        while True:
            number += 1
            try:
                os.close(os.open(self.folder / f"attempt-{number:06d}", os.O_CREAT | os.O_EXCL))
            except FileExistsError:
                continue
            self.attempt = number
            break
        for leftover in self.folder.glob(".tmp-*"):
            shutil.rmtree(leftover)

    def _attempts(self) -> list[int]:
        return [int(m[1]) for entry in self.folder.iterdir() if (m := _ATTEMPT.match(entry.name))]

    def save(self, step: int, parts: Parts, state: dict[str, JsonValue]) -> Path:
        """Commit a checkpoint of `step`. Raises StorageError, or Preempted when a newer attempt has begun."""
        target = self.folder / f"step-{step:08d}"
        if target.exists() and not self._set_aside_damaged(target):
            return target
        temporary = self.folder / f".tmp-{step:08d}-{self.attempt:06d}-{uuid.uuid4().hex}"
        try:
            temporary.mkdir(parents=True)
            self._write(temporary, step, parts, state)
            self._check_fence()
            temporary.rename(target)
            flush_folder(self.folder)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            raise StorageError(
                f"could not write checkpoint {target.name}: {error.strerror}",
                code="IO_CHECKPOINT",
                field=str(self.folder),
                fix="free space or repair the storage, then run the same command again",
            ) from error
        self._prune()
        return target

    def _set_aside_damaged(self, target: Path) -> bool:
        """Rename a damaged checkpoint that a replay reaches again; False when it is valid."""
        try:
            read_checkpoint(target)
        except CheckpointError:
            target.rename(target.with_name(f"damaged-{target.name}-{uuid.uuid4().hex}"))
            return True
        return False

    def _write(self, folder: Path, step: int, parts: Parts, state: dict[str, JsonValue]) -> None:
        files = {}
        for name, tensors in parts:
            payload = save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})
            _write_synced(folder / f"{name}.safetensors", payload)
            files[name] = {"bytes": len(payload), "sha256": sha256(payload)}
        body = {"format": FORMAT, "step": step, "attempt": self.attempt, "files": files, "state": state}
        _write_synced(folder / "MANIFEST.json", canonical_json({**body, "sha256": sha256(canonical_json(body))}))
        flush_folder(folder)
        read_checkpoint(folder)

    def _check_fence(self) -> None:
        newest = max(self._attempts(), default=0)
        if newest != self.attempt:
            raise Preempted(
                f"attempt {self.attempt} was replaced by attempt {newest}",
                code="CKPT_FENCED",
                fix="a newer process trains this run; leave it to that one",
            )

    def _prune(self) -> None:
        for step in self.steps()[: -self.keep]:
            shutil.rmtree(self.folder / f"step-{step:08d}")

    def steps(self) -> list[int]:
        """Committed steps, ascending; order comes from the name, never from clocks."""
        if not self.folder.is_dir():
            return []
        return sorted(int(m[1]) for entry in self.folder.iterdir() if (m := _NAME.match(entry.name)))

    def newest(self) -> Checkpoint | None:
        """The newest valid checkpoint; None where there is none at all. Raises CheckpointError if all are damaged."""
        steps = self.steps()
        for step in reversed(steps):
            try:
                return read_checkpoint(self.folder / f"step-{step:08d}")
            except CheckpointError as error:
                _log.warning("checkpoint skipped: %s", error)
        if steps:
            raise CheckpointError(
                f"none of {len(steps)} checkpoints in {self.folder} is valid",
                code="CKPT_NONE_VALID",
                fix="restore one from a backup or start a new run folder",
            )
        return None


def read_checkpoint(folder: Path) -> Checkpoint:
    """Verify every file, one at a time. Raises CheckpointError naming the one that is missing or damaged."""
    body = _read_manifest(folder)
    files, state, step = body.get("files"), body.get("state"), body.get("step")
    if not isinstance(files, dict) or not isinstance(state, dict) or not isinstance(step, int):
        raise _damaged(folder / "MANIFEST.json", "incomplete")
    hashes = {}
    for name, entry in files.items():
        if not _PART.fullmatch(name) or not isinstance(entry, dict):
            raise _damaged(folder / "MANIFEST.json", f"has a bad file entry {name!r}")
        path = folder / f"{name}.safetensors"
        if _size(path) != entry.get("bytes") or sha256(payload := _read(path)) != entry.get("sha256"):
            raise _damaged(path, "does not match its hash")
        _tensors(path, payload)
        hashes[name] = str(entry["sha256"])
    return Checkpoint(step, folder, hashes, state)


def _tensors(path: Path, payload: bytes) -> dict[str, Tensor]:
    try:
        return load(payload)
    except SafetensorError as error:
        raise _damaged(path, f"is not safetensors ({error})") from error


def _read_manifest(folder: Path) -> dict[str, JsonValue]:
    path = folder / "MANIFEST.json"
    if _size(path) > MAX_MANIFEST_BYTES:
        raise _damaged(path, "is no manifest: it is too large")
    try:
        body = json.loads(_read(path), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "is not JSON") from error
    if not isinstance(body, dict) or body.get("format") != FORMAT:
        raise CheckpointError(f"{path} has another format", code="CKPT_FORMAT", expected=FORMAT)
    if body.pop("sha256", None) != sha256(canonical_json(body)):
        raise _damaged(path, "does not match its own hash")
    return body


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _size(path: Path) -> int:
    """Bytes; asked for before reading, because a file of holes may promise more than the memory holds."""
    try:
        return path.stat().st_size
    except OSError as error:
        raise _damaged(path, f"cannot be read ({error.strerror})") from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise _damaged(path, f"cannot be read ({error.strerror})") from error


def _damaged(path: Path, what: str) -> CheckpointError:
    return CheckpointError(f"{path} {what}", code="CKPT_DAMAGED", field=path.name, fix="the next older one is used")


def _write_synced(path: Path, payload: bytes) -> None:
    with path.open("wb") as file:
        file.write(payload)
        file.flush()
        os.fsync(file.fileno())
