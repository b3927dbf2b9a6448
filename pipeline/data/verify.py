"""Every byte of a data set folder against its manifest."""

import hashlib
import os
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np

from pipeline.data.index import Index, load_index
from pipeline.data.manifest import Manifest, ShardEntry
from pipeline.data.read import open_shard
from pipeline.errors import DataError, KindredError, Problems

_CHUNK = 1 << 20


def verify_shards(folder: Path, manifest: Manifest, *, progress: Callable[[int, int], None] | None = None) -> None:
    """Check index, fitted files and the sha256 of every shard. Raises Problems naming damaged shards and samples."""
    index = load_index(folder, manifest)
    problems: list[KindredError] = list(damaged_fitted_files(folder, manifest))
    for number, entry in enumerate(manifest.shards):
        try:
            problems += _verify_shard(folder, entry, index=index, number=number)
        except DataError as error:
            problems.append(error)
        if progress is not None:
            progress(number + 1, len(manifest.shards))
    if problems:
        raise Problems(problems)


def damaged_fitted_files(folder: Path, manifest: Manifest) -> list[DataError]:
    """One error per file a codec fitted (a tokenizer) that is missing or does not match its sha256."""
    problems = []
    for stream, entry in manifest.streams.items():
        for name, expected in entry.files.items():
            path = folder / name
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                problems.append(
                    DataError(
                        f"{name} is missing or has changed", code="DATA_CHECKSUM", field=stream, expected=expected
                    )
                )
    return problems


def _verify_shard(folder: Path, entry: ShardEntry, *, index: Index, number: int) -> list[DataError]:
    descriptor = open_shard(folder, entry)
    try:
        digest = hashlib.sha256()
        for start in range(0, entry.bytes, _CHUNK):
            digest.update(os.pread(descriptor, _CHUNK, start))
        if digest.hexdigest() == entry.sha256:
            return []
        damaged = _damaged_samples(descriptor, entry, index=index, number=number)
    finally:
        os.close(descriptor)
    return damaged or [
        DataError(
            "the shard has changed outside its payloads",
            code="DATA_CHECKSUM",
            shard=entry.name,
            expected=entry.sha256,
            got=digest.hexdigest(),
            fix="restore the shard, or ingest again",
        )
    ]


def _damaged_samples(descriptor: int, entry: ShardEntry, *, index: Index, number: int) -> list[DataError]:
    """The samples whose payloads no longer have their checksum."""
    problems = []
    for i in np.flatnonzero(index.shard == number).tolist():
        for name, columns in index.streams.items():
            size, offset = int(columns.size[i]), int(columns.offset[i])
            if size >= 0 and zlib.crc32(os.pread(descriptor, size, offset)) != columns.crc32[i]:
                problems.append(
                    DataError(
                        "the stored payload has changed",
                        code="DATA_CHECKSUM",
                        shard=entry.name,
                        offset=offset,
                        key=str(index.key[i]),
                        field=name,
                        fix="restore the shard, or ingest again",
                    )
                )
    return problems
