"""A data set behind a URL: small files are copied at opening, shards when they are first needed.

Below the cache folder: `datasets/<hash of the manifest>/` holds manifest, index and fitted files (outside the limit in
bytes), `shards/` the shards of all data sets.
"""

import hashlib
import io
import os
import re
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import BinaryIO

from pipeline.data.cache_errors import cache_errors
from pipeline.data.download import Expected, Retries, download
from pipeline.data.manifest import INDEX_NAME, MANIFEST_NAME, MAX_MANIFEST_BYTES, Manifest, ShardEntry, parse_manifest
from pipeline.data.remote_folder import RemoteFolder
from pipeline.data.shard_cache import ShardCache
from pipeline.errors import SecurityError, StorageError

_MAX_FITTED_BYTES = 256 << 20
_MAX_INDEX_BYTES = 32 << 30
_MAX_ROW_BYTES = 4096
_NAME = re.compile(r"streams/[A-Za-z0-9._/-]+")


@dataclass(frozen=True)
class CacheConfig:
    """folder: on a local disk, shared by the processes of a machine. readers: threads of them all that read shards."""

    folder: Path
    max_bytes: int
    readers: int = 1


class RemoteShards:
    """Shards behind a URL, opened from the local cache; see `ShardSource`."""

    is_remote = True

    def __init__(self, remote: RemoteFolder, folder: Path, cache: ShardCache, *, max_open: int, retries: Retries):
        self.remote, self.folder, self.cache, self.max_open, self.retries = remote, folder, cache, max_open, retries

    def __str__(self) -> str:
        return str(self.remote.url)

    def open(self, entry: ShardEntry) -> int:
        """File descriptor of a whole shard, fetched where the cache lacks it.

        Raises StorageError, StorageUnavailable, DataError or SecurityError.
        """
        expected = Expected(entry.bytes, entry.bytes, entry.sha256, entry.name)
        name = f"shards/{entry.name}"
        return self.cache.open(entry, lambda file: download(self.remote, name, file, expected, self.retries))

    def ensure(self, entries: Sequence[ShardEntry]) -> None:
        """Fetch shards that will be needed soon."""
        for entry in entries:
            os.close(self.open(entry))


def connect(remote: RemoteFolder, cache: CacheConfig, retries: Retries | None = None) -> RemoteShards:
    """Copy manifest, index and fitted files of a remote data set; check that the cache can work.

    Raises DataError, SecurityError, StorageError, StorageUnavailable.
    """
    retries = retries or Retries()
    payload = io.BytesIO()
    download(remote, MANIFEST_NAME, payload, Expected(MAX_MANIFEST_BYTES), retries)
    manifest = parse_manifest(payload.getvalue(), remote.url.file(MANIFEST_NAME))
    shards = ShardCache(cache.folder / "shards", cache.max_bytes)
    largest = max(entry.bytes for entry in manifest.shards)
    _check_space(shards.free(), largest * cache.readers, cache)
    folder = cache.folder / "datasets" / manifest.sha256
    for name, expected in _small_files(manifest).items():
        with _replaced(folder / name, expected.sha256) as file:
            if file is not None:
                download(remote, name, file, expected, retries)
    with _replaced(folder / MANIFEST_NAME, None) as file:
        if file is not None:
            file.write(payload.getvalue())
    max_open = max(1, min(64, cache.max_bytes // (largest * cache.readers)))
    return RemoteShards(remote, folder, shards, max_open=max_open, retries=retries)


def _check_space(free: int, need: int, cache: CacheConfig) -> None:
    if free < need:
        raise StorageError(
            f"the cache {cache.folder} cannot hold one shard for each of {cache.readers} readers",
            code="STORAGE_CACHE_SMALL",
            field="data.cache_gib",
            expected=f">= {need} bytes",
            got=free,
            fix="raise data.cache_gib, free disk space, or choose another data.cache",
        )


def _small_files(manifest: Manifest) -> dict[str, Expected]:
    rows = min(_MAX_INDEX_BYTES, (1 << 20) + _MAX_ROW_BYTES * manifest.num_samples)
    files = {INDEX_NAME: Expected(rows, sha256=manifest.index_sha256)}
    for stream, entry in manifest.streams.items():
        for name, sha256 in entry.files.items():
            if not _NAME.fullmatch(name) or ".." in PurePosixPath(name).parts:
                raise SecurityError(
                    "a fitted file has a forbidden name",
                    code="SEC_PATH",
                    field=stream,
                    got=name,
                    expected=_NAME.pattern,
                )
            files[name] = Expected(_MAX_FITTED_BYTES, sha256=sha256)
    return files


@contextmanager
def _replaced(path: Path, sha256: str | None) -> Iterator[BinaryIO | None]:
    """A file that replaces `path` at once, since other processes may read it; None where the old one is right."""
    incoming = path.with_name(f".{path.name}.{os.getpid()}-{threading.get_native_id()}")
    try:
        with cache_errors():
            if path.is_file() and _sha256(path) == sha256:
                yield None
                return
            path.parent.mkdir(parents=True, exist_ok=True)
            with incoming.open("wb") as file:
                yield file
            incoming.replace(path)
    finally:
        incoming.unlink(missing_ok=True)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
