"""One checkpoint: a folder of safetensors files and one self-hashed MANIFEST.json, verified before any use.

Nothing is pickled.
"""

import errno
import hashlib
import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from pydantic import JsonValue
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor

from pipeline.data.durable import flush_folder
from pipeline.digest import canonical_json, sha256
from pipeline.errors import CheckpointError

FORMAT, MAX_MANIFEST_BYTES = 1, 64 << 20
MANIFEST_NAME = "MANIFEST.json"
Parts = Iterable[tuple[str, Mapping[str, Tensor]]]
"""Files of a checkpoint, one after the other: those of a large memory are never all at hand."""
_PART = re.compile(r"^[a-z][a-z0-9_]*$")


class PartTensors(dict[str, Tensor]):
    """Tensors of one file by name. Raises CheckpointError for a name that the file lacks."""

    def __init__(self, path: Path, tensors: Mapping[str, Tensor]) -> None:
        super().__init__(tensors)
        self.path = path

    def __missing__(self, name: str) -> Tensor:
        raise lacking(self.path, name)


@dataclass(frozen=True)
class FileEntry:
    """What a manifest says of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class CheckpointManifest:
    """The manifest of a checkpoint: its own hash was right, the files are not looked at."""

    step: int
    files: dict[str, FileEntry]
    state: dict[str, JsonValue]


@dataclass(frozen=True)
class Checkpoint:
    """A checkpoint whose files matched their hashes when it was opened; `state` is plain JSON, tensors stay on disk."""

    step: int
    path: Path
    files: dict[str, str]
    state: dict[str, JsonValue]

    def part(self, name: str) -> PartTensors:
        """Tensors of one file, e.g. "model". Raises CheckpointError where the part is missing or has changed."""
        if name not in self.files:
            raise lacking(self.path, name)
        path = self.path / f"{name}.safetensors"
        payload = _read(path)
        if sha256(payload) != self.files[name]:
            raise _damaged(path, "does not match its hash")
        return PartTensors(path, _tensors(path, payload))


def lacking(path: Path, name: str) -> CheckpointError:
    """For a checkpoint, or a file of it, without something that resuming needs."""
    return CheckpointError(f"{path} has no {name}", code="CKPT_MISSING", field=name, fix="use an older one")


def state_hash(parts: Parts, state: JsonValue) -> str:
    """Hash of every tensor's name, dtype, shape and bytes, in the order of the parts, and of the JSON state."""
    digest = hashlib.sha256(canonical_json(state))
    for part, tensors in parts:
        for name in sorted(tensors):
            tensor = tensors[name].detach().cpu().contiguous()
            digest.update(f"{part}/{name}:{tensor.dtype}:{tuple(tensor.shape)}".encode())
            digest.update(tensor.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def write_checkpoint(folder: Path, step: int, parts: Parts, state: dict[str, JsonValue], *, attempt: int) -> None:
    """Write every file of a checkpoint into an empty folder, durably, and read it back. Raises OSError."""
    files = {}
    for name, tensors in parts:
        payload = save({key: tensor.detach().cpu().contiguous() for key, tensor in tensors.items()})
        _write_synced(folder / f"{name}.safetensors", payload)
        files[name] = {"bytes": len(payload), "sha256": sha256(payload)}
    body = {"format": FORMAT, "step": step, "attempt": attempt, "files": files, "state": state}
    _write_synced(folder / MANIFEST_NAME, canonical_json({**body, "sha256": sha256(canonical_json(body))}))
    flush_folder(folder)
    try:
        read_checkpoint(folder)
    except CheckpointError as error:
        raise OSError(errno.EIO, "it does not read back as written") from error


def read_checkpoint(folder: Path) -> Checkpoint:
    """Verify every file, one at a time. Raises CheckpointError naming the one that is missing or damaged."""
    manifest = read_manifest(folder)
    for name, entry in manifest.files.items():
        path = folder / f"{name}.safetensors"
        if _size(path) != entry.bytes or sha256(payload := _read(path)) != entry.sha256:
            raise _damaged(path, "does not match its hash")
        _tensors(path, payload)
    hashes = {name: entry.sha256 for name, entry in manifest.files.items()}
    return Checkpoint(manifest.step, folder, hashes, manifest.state)


def read_manifest(folder: Path) -> CheckpointManifest:
    """The manifest alone. Raises CheckpointError where it is missing, damaged or names files elsewhere."""
    path = folder / MANIFEST_NAME
    body = _read_body(path)
    files, state, step = body.get("files"), body.get("state"), body.get("step")
    if not isinstance(files, dict) or not isinstance(state, dict) or not isinstance(step, int):
        raise _damaged(path, "incomplete")
    return CheckpointManifest(step, {name: _entry(path, name, entry) for name, entry in files.items()}, state)


def _entry(path: Path, name: str, entry: JsonValue) -> FileEntry:
    size, digest = (entry.get("bytes"), entry.get("sha256")) if isinstance(entry, dict) else (None, None)
    if not _PART.fullmatch(name) or not isinstance(size, int) or not isinstance(digest, str):
        raise _damaged(path, f"has a bad file entry {name!r}")
    return FileEntry(size, digest)


def _tensors(path: Path, payload: bytes) -> dict[str, Tensor]:
    try:
        return load(payload)
    except SafetensorError as error:
        raise _damaged(path, f"is not safetensors ({error})") from error


def _read_body(path: Path) -> dict[str, JsonValue]:
    if _size(path) > MAX_MANIFEST_BYTES:
        raise _damaged(path, "is no manifest: it is too large")
    try:
        body = json.loads(_read(path), parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as error:
        raise _damaged(path, "is not JSON") from error
    if not isinstance(body, dict):
        raise _damaged(path, "is no object")
    if body.get("format") != FORMAT:
        raise CheckpointError(
            f"{path} has another format",
            code="CKPT_FORMAT",
            field="format",
            expected=FORMAT,
            got=body.get("format"),
            fix="finish the run with the version of kindred that wrote it, or start anew with --fork NAME",
        )
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
