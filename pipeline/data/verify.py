"""A whole data set in one pass: every byte against its manifest, statistics, duplicates, and what crosses splits."""

import functools
import hashlib
import operator
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeAlias

import numpy as np

from modalities.spec import Codec
from pipeline.data.drift import Drift, Moments, drifts, wrong_statistics
from pipeline.data.findings import Findings
from pipeline.data.index import Index, load_index
from pipeline.data.manifest import ORIGINALS_NAME, Manifest, StreamEntry
from pipeline.data.shard_source import ShardSource, shard_source
from pipeline.data.split import SPLITS
from pipeline.data.step_codec import step_codecs
from pipeline.data.verify_content import ShardCheck, ShardResult, ShardTask
from pipeline.data.verify_splits import copies, split_leaks, suspects
from pipeline.errors import DataError

ShardMap: TypeAlias = Callable[[ShardCheck, Iterable[ShardTask]], Iterator[ShardResult]]
"""Applies the check to every task and yields the results in order, like the built-in map or in parallel."""


@dataclass(frozen=True)
class VerifyReport:
    """What a whole data set was found to hold.

    duplicates: stream -> payloads that repeat an earlier one. flat: stream -> channels constant over all training.
    """

    num_bytes: int
    duplicates: dict[str, int] = field(default_factory=dict)
    drifts: tuple[Drift, ...] = ()
    flat: dict[str, int] = field(default_factory=dict)


def verify_dataset(
    place: ShardSource | Path,
    manifest: Manifest,
    codecs: Mapping[str, Codec] | None = None,
    *,
    map_shards: ShardMap = map,
    progress: Callable[[int], None] | None = None,
) -> VerifyReport:
    """Check index, fitted files and every shard; with codecs also payloads, statistics and splits.

    Without codecs only hashes are checked, and a wrong one is traced to its samples. progress: called with bytes done.
    Raises Problems naming everything that is wrong.
    """
    source = shard_source(place)
    index = load_index(source.folder, manifest)
    findings, num_bytes = Findings("strict"), 0
    for problem in damaged_fitted_files(source.folder, manifest.streams):
        findings.add_fatal(problem)
    check = _shard_check(source, manifest, codecs)
    gathered = _Gathered(manifest)
    for result in map_shards(check, _tasks(source, manifest, index)):
        for problem in result.problems:
            findings.add_fatal(problem)
        findings.add_uncounted(result.num_more)
        gathered.add(result)
        num_bytes += result.num_bytes
        if progress is not None:
            progress(num_bytes)
    for problem in _wrong_counts(manifest, index):
        findings.add_fatal(problem)
    if codecs is None:
        findings.refuse()
        return VerifyReport(num_bytes)
    if findings.is_empty():  # statistics of what could not be read would be wrong too
        for problem in wrong_statistics({n: e.statistics for n, e in manifest.streams.items()}, gathered.training()):
            findings.add_fatal(problem)
    duplicates, leaks = copies(index, gathered.content)
    allowed = bool(manifest.split.rule.get("allow_duplicates"))
    for leak in [*split_leaks(index, manifest), *([] if allowed else leaks)]:
        findings.add_fatal(leak)
    findings.refuse()
    return VerifyReport(num_bytes, duplicates, gathered.drifts(), gathered.flat())


def _shard_check(source: ShardSource, manifest: Manifest, codecs: Mapping[str, Codec] | None) -> ShardCheck:
    labels = step_codecs(manifest)
    statistics = {name: entry.statistics for name, entry in manifest.streams.items()} | {name: {} for name in labels}
    streams = {name: entry.stream for name, entry in manifest.step_labels.items()}
    return ShardCheck(source, None if codecs is None else {**codecs, **labels}, statistics, streams)


class _Gathered:
    """What all shards gave together."""

    def __init__(self, manifest: Manifest) -> None:
        self.manifest = manifest
        self.splits: dict[tuple[str, str], Moments] = {}
        self.shards: list[tuple[str, str, Moments]] = []
        self.content: dict[str, dict[int, bytes]] = {name: {} for name in manifest.streams}

    def add(self, result: ShardResult) -> None:
        for stream, splits in result.moments.items():
            for split, part in splits.items():
                known = self.splits.get((stream, split))
                self.splits[stream, split] = part if known is None else known + part
            if parts := list(splits.values()):
                whole = functools.reduce(operator.add, parts)
                self.shards.append((stream, self.manifest.shards[result.task].name, whole))
        for stream, digests in result.content.items():
            self.content[stream] |= digests

    def training(self) -> dict[str, Moments]:
        return {stream: part for (stream, split), part in self.splits.items() if split == "train"}

    def flat(self) -> dict[str, int]:
        return {stream: int((part.std() == 0).sum()) for stream, part in self.training().items()}

    def drifts(self) -> tuple[Drift, ...]:
        training = self.training()
        others = [(stream, split, part) for (stream, split), part in self.splits.items() if split != "train"]
        return tuple(
            drift
            for stream, where, part in [*others, *self.shards]
            if stream in training
            for drift in drifts(training[stream], part, stream=stream, where=where)
        )


def damaged_fitted_files(folder: Path, streams: Mapping[str, StreamEntry]) -> list[DataError]:
    """One error per file a codec fitted (a tokenizer) that is missing or does not match its sha256."""
    problems = []
    for stream, entry in streams.items():
        for name, expected in entry.files.items():
            path = folder / name
            if not path.is_file() or hashlib.sha256(path.read_bytes()).hexdigest() != expected:
                problems.append(
                    DataError(
                        f"{name} is missing or has changed", code="DATA_CHECKSUM", field=stream, expected=expected
                    )
                )
    return problems


def _tasks(source: ShardSource, manifest: Manifest, index: Index) -> Iterator[ShardTask]:
    order = np.argsort(index.shard, kind="stable")
    bounds = np.searchsorted(index.shard[order], np.arange(len(manifest.shards) + 1))
    members = {**index.streams, **index.step_labels}
    suspect = {name: suspects(index, name) for name in index.streams}
    suspect |= {name: np.zeros(len(index), np.bool_) for name in index.step_labels}  # equal labels are no copies
    for number, entry in enumerate(manifest.shards):
        idx = order[bounds[number] : bounds[number + 1]]
        yield ShardTask(
            number,
            entry,
            idx,
            index.key[idx],
            index.split[idx],
            {n: (c.offset[idx], c.size[idx], c.crc32[idx], suspect[n][idx]) for n, c in members.items()},
            is_own=not (source.folder / ORIGINALS_NAME).exists(),
        )


def _wrong_counts(manifest: Manifest, index: Index) -> list[DataError]:
    """Counts in the manifest that are not those of the index."""
    pairs = [(name, entry.count, int(index.present(name).sum()), None) for name, entry in manifest.streams.items()]
    sizes = {name: column.size for name, column in index.step_labels.items()}
    pairs += [(n, e.count, int((sizes[n] >= 0).sum()), None) for n, e in manifest.step_labels.items()]
    pairs += [(name, manifest.split.counts[name], int((index.split == name).sum()), None) for name in SPLITS]
    rows = np.bincount(index.shard, minlength=len(manifest.shards)).tolist()
    pairs += [("count", entry.count, row, entry.name) for entry, row in zip(manifest.shards, rows, strict=True)]
    return [
        DataError(
            "the manifest counts other samples than the index",
            code="DATA_COUNT",
            shard=shard,
            field=name,
            expected=stated,
            got=counted,
            fix="restore manifest and index, or ingest again",
        )
        for name, stated, counted, shard in pairs
        if stated != counted
    ]
