"""What lies on two sides of a split although it must not: groups, overlapping windows, samples of equal content."""

from collections.abc import Mapping

import numpy as np

from pipeline.data.index import Index
from pipeline.data.manifest import Manifest
from pipeline.errors import LeakError
from pipeline.evaluate.leakage import content_leaks, group_leaks, overlap_leaks


def split_leaks(index: Index, manifest: Manifest) -> list[LeakError]:
    """Leaks that the index alone shows: disjoint groups in two splits, windows of one recording that overlap.

    Two samples belong to one recording where their record is the same, or all their groups and a stream of both are.
    """
    split, keys = index.split.astype(str), index.key.astype(str)
    leaks = [
        leak
        for name in disjoint_columns(manifest)
        if name in index.groups
        for leak in group_leaks(split, index.group(name).astype(str), name=name)
    ]
    times = {"start_ns": index.start_ns, "end_ns": index.end_ns}
    leaks += overlap_leaks(split, index.record.astype(str), keys=keys, **times)
    if index.groups and not leaks:
        _, person = np.unique(np.stack(list(index.groups.values()), axis=1), axis=0, return_inverse=True)
        for name in index.streams:
            own = index.present(name)
            some = {which: column[own] for which, column in times.items()}
            leaks += overlap_leaks(split[own], person.ravel()[own].astype(str), keys=keys[own], **some)
    return leaks


def disjoint_columns(manifest: Manifest) -> list[str]:
    """Columns of which the split's rule says that no value is in two splits."""
    rule = manifest.split.rule
    named = rule.get("disjoint") if rule.get("kind") == "column" else [rule.get("group")]
    return [column for column in named if isinstance(column, str)] if isinstance(named, list) else []


def suspects(index: Index, stream: str) -> np.ndarray:
    """(N,) bool, True where another sample has a payload of equal size and crc32, and so maybe the same one."""
    _, number, count = np.unique(index.content(stream), return_inverse=True, return_counts=True)
    return (count[number.ravel()] > 1) & index.present(stream)


def copies(index: Index, content: Mapping[str, Mapping[int, bytes]]) -> tuple[dict[str, int], list[LeakError]]:
    """Repeated payloads of every stream, and the samples that have an identical copy in another split.

    content: stream -> idx -> hash of the payloads that may be repeated.
    """
    repeats, table = {}, {}
    for name in index.streams:
        numbers = np.where(index.present(name), np.arange(len(index)), -1)
        first: dict[bytes, int] = {}
        repeats[name] = 0
        for i, digest in sorted(content.get(name, {}).items()):
            repeats[name] += digest in first
            numbers[i] = first.setdefault(digest, i)
        table[name] = numbers
    return repeats, content_leaks(index.split.astype(str), table, keys=index.key.astype(str))
