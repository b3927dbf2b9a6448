"""Samples whose numbers are near to each other."""

import math

import numpy as np
from scipy.spatial import KDTree

from pipeline.errors import DataError
from pipeline.relations.built import Built, Findings
from pipeline.relations.config import NearestRelation
from pipeline.relations.samples import Samples, value_numbers
from pipeline.relations.symmetrise import refuse_too_many, symmetrise

_CHUNK = 1 << 16


def nearest_values(config: NearestRelation, samples: Samples) -> Built:
    """k nearest neighbours by Euclidean distance of standardised columns, linked where either end chose the other.

    A sample that lacks a value has no neighbours. Raises ConfigError for unknown columns and a k that is too large,
    DataError for a value that is no number.
    """
    table = np.stack([_column(name, samples) for name in config.columns], axis=1)
    known = np.flatnonzero(~np.isnan(table).any(axis=1))
    if len(known) < 2:
        raise samples.bad(
            "columns",
            f"{len(known)} samples have values of {', '.join(config.columns)}",
            expected=">= 2",
            got=list(config.columns),
            fix="choose columns with values",
        )
    if config.k >= len(known):
        raise samples.bad(
            "k",
            f"{len(known)} samples have values of {', '.join(config.columns)}",
            expected=f"1..{len(known) - 1}",
            got=config.k,
            fix="lower k",
        )
    refuse_too_many(2 * config.k * len(known), field=samples.field("k"), fix="lower k")
    chosen = choose_nearest(_standardised(table[known]), config.k)
    source = np.repeat(known.astype(np.int32), config.k)
    found = symmetrise(len(samples), source, known.astype(np.int32)[chosen.ravel()], config.weight)
    isolated = int((found.edges.degree() == 0).sum())
    unknown = len(samples) - len(known)
    return Built(found.edges, Findings(one_directional=found.one_directional, unknown=unknown, isolated=isolated))


def choose_nearest(points: np.ndarray, k: int) -> np.ndarray:
    """Rows (n, k) int64 of the nearest other points (n, D); k < n."""
    tree = KDTree(points, balanced_tree=False)  # equal points are common: a balanced tree would be very deep
    chosen = [_others(tree, low, points[low : low + _CHUNK], k) for low in range(0, len(points), _CHUNK)]
    return np.concatenate(chosen)


def _others(tree: KDTree, low: int, points: np.ndarray, k: int) -> np.ndarray:
    found = np.asarray(tree.query(points, k=k + 1)[1])
    drop = found == np.arange(low, low + len(points))[:, None]
    drop[~drop.any(axis=1), -1] = True  # among many equal points a point need not find itself
    return found[~drop].reshape(len(points), k)


def _standardised(table: np.ndarray) -> np.ndarray:
    largest = np.abs(table).max(axis=0)
    table = table / np.where(largest > 0, largest, 1.0)  # squares of very large numbers are not finite
    spread = table.std(axis=0)
    return (table - table.mean(axis=0)) / np.where(spread > 0, spread, 1.0)


def _column(name: str, samples: Samples) -> np.ndarray:
    """Values (n,) float64, NaN where there is none."""
    samples.check_column(name, key="columns", labels=False)
    texts = samples.texts(name)
    value = value_numbers(texts)
    numbers, first = np.unique(value, return_index=True)
    distinct = np.array([_number(name, str(text), samples) for text in texts[first[numbers >= 0]]] + [np.nan])
    return distinct[value]


def _number(column: str, text: str, samples: Samples) -> float:
    try:
        number = float(text)
    except ValueError:
        number = float("nan")
    if not math.isfinite(number):
        raise _no_number(column, text, samples)
    return number


def _no_number(column: str, value: str, samples: Samples) -> DataError:
    return DataError(
        f"{samples.field('columns')}: column {column!r} holds {value!r}, which is no number",
        code="DATA_NUMBER",
        field=column,
        got=value,
        fix="choose a column of numbers, or correct the value",
    )
