"""Rows of an edge file in batches: pairs of keys and weights, as text and numbers, not yet looked up."""

import csv
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pyarrow.csv import ConvertOptions, ReadOptions, open_csv

from modalities.spec import Config
from pipeline.errors import ConfigError, DataError
from pipeline.relations.config import EdgesRelation

# Large, as a look-up of keys first hashes all those of the data set.
_BLOCK_BYTES = 256 << 20
_BATCH_ROWS = 1 << 23
_LEAST, _MOST = 1e-20, 1e20  # times weights of relations and objectives, float32 still holds them


@dataclass(frozen=True)
class EdgeRows:
    """Consecutive rows of a file: first is the number of the first, counted from 1 below the header."""

    first: int
    source: pa.Array
    target: pa.Array
    weight: np.ndarray | None


def read_edge_rows(path: Path, columns: Sequence[str], *, field: str) -> Iterator[EdgeRows]:
    """Batches of an edge file; columns: source, target and perhaps weight.

    field: names the recipe's key in messages. Raises ConfigError for a missing file, DataError for one that is damaged,
    lacks a column, or has a weight that is no positive number.
    """
    if not path.is_file():
        raise ConfigError(
            f"{field}: no such file: {path}",
            code="CONFIG_PATH",
            field=field,
            got=str(path),
            fix="a relative path starts at data.root, or at the working folder where there is none",
        )
    batches = _csv_batches if path.suffix == ".csv" else _parquet_batches
    first = 1
    try:
        for batch in batches(path, columns):
            source, target = (pc.fill_null(pc.cast(batch.column(name), pa.string()), "") for name in columns[:2])
            weight = _weights(path, batch.column(columns[2]), first) if len(columns) > 2 else None
            yield EdgeRows(first, source, target, weight)
            first += batch.num_rows
    except (pa.ArrowException, OSError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path.name} is no readable edge list: {error}", code="DATA_EDGES", field=path.name) from error


def edge_file_hashes(relations: Mapping[str, Config], folder: Path) -> dict[str, str | None]:
    """Relation -> sha256 of its edge file, None where there is no such file; relative paths start at `folder`."""
    paths = {name: folder / config.path for name, config in relations.items() if isinstance(config, EdgesRelation)}
    return {name: file_sha256(path) if path.is_file() else None for name, path in paths.items()}


def file_sha256(path: Path) -> str:
    """Hash of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _csv_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        _check_columns(path, next(csv.reader(file), []), columns)
    types = dict.fromkeys(columns, pa.string())
    options = ConvertOptions(include_columns=list(columns), column_types=types, strings_can_be_null=False)
    yield from open_csv(
        path, read_options=ReadOptions(use_threads=False, block_size=_BLOCK_BYTES), convert_options=options
    )


def _parquet_batches(path: Path, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        _check_columns(path, file.schema_arrow.names, columns)
        yield from file.iter_batches(batch_size=_BATCH_ROWS, columns=list(columns), use_threads=False)


def _check_columns(path: Path, names: Sequence[str], columns: Sequence[str]) -> None:
    if missing := [name for name in columns if name not in names]:
        raise DataError(
            f"{path.name} has no column {missing[0]!r}",
            code="DATA_COLUMN",
            field=path.name,
            expected=missing[0],
            got=list(names)[:100],
            fix="name its columns in source, target and weight_column",
        )


def _weights(path: Path, column: pa.Array, first: int) -> np.ndarray:
    """float32 of a column of numbers or their text."""
    try:
        weights = pc.cast(column, pa.float64()).to_numpy(zero_copy_only=False).astype(np.float32)
    except pa.ArrowInvalid:
        weights = np.array([_number(text) for text in column.to_pylist()], np.float32)
    bad = np.flatnonzero(~((weights >= _LEAST) & (weights <= _MOST)))
    if len(bad):
        raise DataError(
            f"{path.name} row {first + int(bad[0])}: a weight that is no usable positive number",
            code="DATA_EDGE_WEIGHT",
            field=path.name,
            expected=f"{_LEAST:g} to {_MOST:g}",
            got=column[int(bad[0])].as_py(),
        )
    return weights


def _number(text: str | None) -> float:
    try:
        return float(text or "nan")
    except ValueError:
        return float("nan")
