"""Samples that are similar by the paths between them over typed nodes (session, device, tag, ...)."""

import itertools
from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pipeline.relations.built import Built, Findings
from pipeline.relations.config import MetaPathRelation
from pipeline.relations.path_sim import MAX_PATHS, Choices, best_rows, num_products, self_paths
from pipeline.relations.ranges import ranges
from pipeline.relations.samples import Samples, value_numbers
from pipeline.relations.symmetrise import refuse_too_many, symmetrise

MAX_PRODUCTS = 1 << 34
"""Most meetings of two distinct rows at a middle node: some fifteen minutes of one core."""
_CHUNK = 1 << 22


@dataclass(frozen=True)
class _Pairs:
    """source, target (E,) int32 and weight (E,) float32 of choices between samples."""

    source: np.ndarray
    target: np.ndarray
    weight: np.ndarray

    @classmethod
    def empty(cls, count: int) -> "_Pairs":
        return cls(np.empty(count, np.int32), np.empty(count, np.int32), np.empty(count, np.float32))


@dataclass(frozen=True)
class _Cells:
    """Distinct cells of a column: value (n,) of each sample, -1 unknown; nodes (V + 1, T) in each cell, the last empty.

    Indexing with -1 therefore gives no nodes.
    """

    value: np.ndarray
    nodes: sparse.csr_array


def similar_by_paths(config: MetaPathRelation, samples: Samples) -> Built:
    """Each sample's `top` most similar ones by PathSim along the path, weighted by it; linked where either end chose.

    Raises ConfigError for unknown columns, for a path with more paths along it than can be counted exactly, and for one
    whose samples cannot be compared in a reasonable time.
    """
    cells = [_cells(column, config, samples) for column in config.path[: len(config.path) // 2 + 1]]
    number, half = _distinct_rows(_half_paths(cells))
    number = number[cells[0].value]
    known = np.flatnonzero(number >= 0)
    refuse_too_many(2 * config.top * len(known), field=samples.field("top"), fix="lower top")
    _refuse_too_large(half, samples)
    size = np.bincount(number[known], minlength=len(half.indptr) - 1)
    pairs = _expand(known.astype(np.int32), number[known], size, best_rows(half, size, config.top))
    pairs.weight[:] *= np.float32(config.weight)
    found = symmetrise(len(samples), pairs.source, pairs.target, pairs.weight)
    isolated = int((found.edges.degree() == 0).sum())
    unknown = len(samples) - len(known)
    return Built(found.edges, Findings(one_directional=found.one_directional, unknown=unknown, isolated=isolated))


def _refuse_too_large(half: sparse.csr_array, samples: Samples) -> None:
    most = float(self_paths(half).max(initial=0.0))
    if most > MAX_PATHS:
        raise samples.bad(
            "path",
            f"{most:.3g} paths lead from a sample back to itself, too many to be counted exactly",
            expected=f"<= {MAX_PATHS:.3g}",
            got=most,
            fix="shorten the path",
        )
    if (products := num_products(half)) > MAX_PRODUCTS:
        raise samples.bad(
            "path",
            f"{len(half.indptr) - 1} distinct rows meet {products} times in the middle of the path",
            expected=f"<= {MAX_PRODUCTS}",
            got=products,
            fix="choose a middle column that fewer of them share, or a first column with fewer distinct values",
        )


def _half_paths(cells: list[_Cells]) -> sparse.csr_array:
    """Paths (V + 1, K) from the cells of the first column to the nodes in the middle of the path."""
    half = cells[0].nodes
    members = [each.nodes[each.value] for each in cells] if len(cells) > 1 else []
    for before, after in itertools.pairwise(members):
        step = sparse.csr_array(before.T @ after)
        step.data[:] = 1.0  # two nodes are linked or not, however many samples show it
        half = sparse.csr_array(half @ step)
    half.sort_indices()
    return half


def _cells(column: str, config: MetaPathRelation, samples: Samples) -> _Cells:
    samples.check_column(column, key="path", labels=False)
    texts = samples.texts(column)
    value = value_numbers(texts)
    numbers, first = np.unique(value, return_index=True)
    names: list[str] = texts[first[numbers >= 0]].tolist()
    parts = [[name] if config.separator is None else name.split(config.separator) for name in names]
    nodes: dict[str, int] = {}
    lists = [sorted({nodes.setdefault(t, len(nodes)) for part in each if (t := part.strip())}) for each in parts]
    flat = [node for each in lists for node in each]
    indptr = np.cumsum([0, *(len(each) for each in lists), 0])
    return _Cells(value, sparse.csr_array((np.ones(len(flat)), flat, indptr), shape=(len(lists) + 1, len(nodes))))


def _distinct_rows(half: sparse.csr_array) -> tuple[np.ndarray, sparse.csr_array]:
    """The number (V + 1,) of each row among the distinct rows that are not empty, -1 for empty ones; and those rows."""
    numbers: dict[bytes, int] = {}
    found = np.full(len(half.indptr) - 1, -1, np.int64)
    bounds = [int(bound) for bound in half.indptr]
    for row, (low, high) in enumerate(itertools.pairwise(bounds)):
        if high > low:
            content = half.indices[low:high].tobytes() + half.data[low:high].tobytes()
            found[row] = numbers.setdefault(content, len(numbers))
    distinct, first = np.unique(found, return_index=True)
    return found, sparse.csr_array(half[first[distinct >= 0]])


def _expand(nodes: np.ndarray, number: np.ndarray, size: np.ndarray, choices: Choices) -> _Pairs:
    """From choices between distinct rows to choices between samples: nodes (m,) int32, and the row (m,) of each.

    The samples of a row choose different samples of another one, in turn, so that none is everybody's choice.
    """
    members = nodes[np.argsort(number, kind="stable")]
    start = np.cumsum(size) - size
    ends = np.cumsum(size[choices.row])  # one entry for each sample of the row of a choice
    pairs = _Pairs.empty(int((size[choices.row] * choices.take).sum()))
    total, done = int(ends[-1]) if len(ends) else 0, 0
    chunk = max(1, _CHUNK // int(choices.take.max(initial=1)))
    for low in range(0, total, chunk):
        entry = np.arange(low, min(low + chunk, total))
        choice = np.searchsorted(ends, entry, side="right")
        take = choices.take[choice]
        rank = np.repeat(entry - ends[choice] + size[choices.row[choice]], take)
        step, choice = ranges(np.zeros(len(take)), take), np.repeat(choice, take)
        row, other = choices.row[choice], choices.other[choice]
        begin = np.where(row == other, rank + 1, rank * size[other] // size[row])
        part = slice(done, done := done + len(step))
        pairs.source[part] = members[start[row] + rank]
        pairs.target[part] = members[start[other] + (begin + step) % size[other]]
        pairs.weight[part] = choices.score[choice]
    return pairs
