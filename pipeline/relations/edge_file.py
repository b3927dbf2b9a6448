"""Links that the user lists in a file, by the keys of samples."""

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import DataError, KindredError, Problems
from pipeline.relations.built import Built, Findings
from pipeline.relations.config import EdgesRelation
from pipeline.relations.edge_rows import EdgeRows, file_sha256, read_edge_rows
from pipeline.relations.samples import Samples
from pipeline.relations.symmetrise import refuse_too_many, symmetrise

MAX_PROBLEMS = 20
"""Unknown keys that are named one by one."""


@dataclass
class _Pairs:
    """Pairs of positions whose ends are both in the pretraining split."""

    source: list[np.ndarray] = field(default_factory=list)
    target: list[np.ndarray] = field(default_factory=list)
    weight: list[np.ndarray] = field(default_factory=list)
    count: int = 0
    outside: int = 0


def listed_edges(config: EdgesRelation, samples: Samples) -> Built:
    """The links of an edge list that lie inside the pretraining split; others are dropped and counted.

    Raises ConfigError for a missing file, DataError for a damaged one, Problems that name file, row and key of samples
    that do not exist.
    """
    path = samples.folder / config.path
    columns = [config.source, config.target, *([config.weight_column] if config.weight_column else [])]
    keys = pa.array(samples.index.key, pa.string())
    pairs, problems = _Pairs(), list[KindredError]()
    for rows in read_edge_rows(path, columns, field=samples.field("path")):
        ends = _positions([rows.source, rows.target], keys)
        problems += _unknown_keys(path, rows, ends, room=MAX_PROBLEMS - len(problems), known=keys)
        if not problems:
            _add(pairs, rows, ends, samples)
            refuse_too_many(2 * pairs.count, field=samples.field("path"), fix="list fewer links")
        if len(problems) >= MAX_PROBLEMS:
            break
    if problems:
        raise problems[0] if len(problems) == 1 else Problems(problems)
    return _build(config, samples, path, pairs)


def _build(config: EdgesRelation, samples: Samples, path: Path, pairs: _Pairs) -> Built:
    none = np.zeros(0, np.int32)
    weight = np.concatenate(pairs.weight) * np.float32(config.weight) if pairs.weight else config.weight
    source, target = np.concatenate([none, *pairs.source]), np.concatenate([none, *pairs.target])
    for parts in (pairs.source, pairs.target, pairs.weight):
        parts.clear()
    found = symmetrise(len(samples), source, target, weight)
    findings = Findings(
        self_loops=found.self_loops,
        duplicates=found.duplicates,
        one_directional=found.one_directional,
        outside=pairs.outside,
        isolated=int((found.edges.degree() == 0).sum()),
        sha256=file_sha256(path),
    )
    return Built(found.edges, findings)


def _add(pairs: _Pairs, rows: EdgeRows, ends: list[pa.Array], samples: Samples) -> None:
    source, target = (samples.rows.find(end.to_numpy().astype(np.int64)) for end in ends)
    inside = np.flatnonzero((source >= 0) & (target >= 0))
    pairs.outside += len(source) - len(inside)
    pairs.count += len(inside)
    pairs.source.append(source[inside].astype(np.int32))
    pairs.target.append(target[inside].astype(np.int32))
    if rows.weight is not None:
        pairs.weight.append(rows.weight[inside])


def _positions(columns: list[pa.Array], known: pa.Array) -> list[pa.Array]:
    """Sample numbers, null for keys that are not known; in one call, which hashes the known keys once."""
    both = pa.chunked_array(columns, pa.string())
    found = pc.call_function("index_in", [both], pc.SetLookupOptions(value_set=known)).combine_chunks()
    return [found[: len(columns[0])], found[len(columns[0]) :]]


def _unknown_keys(
    path: Path, rows: EdgeRows, ends: list[pa.Array], *, room: int, known: pa.Array
) -> list[KindredError]:
    found = []
    sample = known[0].as_py() if len(known) else ""
    for texts, end in zip((rows.source, rows.target), ends, strict=True):
        if end.null_count:
            missing = np.flatnonzero(end.is_null().to_numpy(zero_copy_only=False))[:room]
            found += [(rows.first + int(row), texts[int(row)].as_py()) for row in missing]
    return [
        DataError(
            f"{path.name} row {row}: no sample has the key {key!r}",
            code="DATA_EDGE_KEY",
            field=path.name,
            key=key,
            got=key,
            fix=f"use keys as the data set's index has them, e.g. {sample!r}; row 1 is the first below the header",
        )
        for row, key in sorted(found)[:room]
    ]
