"""From pairs of nodes to a clean symmetric edge list, with counts of what was changed."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse

from pipeline.errors import ConfigError
from pipeline.relations.edges import Edges
from pipeline.relations.relation import MAX_LINKS


@dataclass(frozen=True)
class Symmetrised:
    """A clean edge list, and how many of the given pairs were no part of one.

    self_loops: pairs of a node with itself, dropped. duplicates: repetitions of an earlier pair in the same direction,
    dropped. one_directional: links that only one end named, completed.
    """

    edges: Edges
    self_loops: int
    duplicates: int
    one_directional: int


def symmetrise(num_nodes: int, source: np.ndarray, target: np.ndarray, weight: np.ndarray | float = 1.0) -> Symmetrised:
    """The symmetric graph of pairs (E,); of several weights of a link the largest counts, in either direction.

    weight: (E,) float32 > 0, or one for all. Takes 50 bytes per pair at its peak, the pairs included: 5 GB for 10^8
    pairs, of which 1.6 GB stay.
    """
    loops = np.flatnonzero(source == target)
    if len(loops):
        kept = source != target
        source, target = source[kept], target[kept]
        weight = weight[kept] if isinstance(weight, np.ndarray) else weight
    given, duplicates = _directed(num_nodes, source, target, weight)
    del source, target
    both = sparse.csr_array(given.maximum(given.T.tocsr()))
    edges = Edges(both.indptr.astype(np.int64), both.indices.astype(np.int32, copy=False), both.data)
    return Symmetrised(edges, len(loops), duplicates, both.nnz - given.nnz)


def _directed(
    num_nodes: int, source: np.ndarray, target: np.ndarray, weight: np.ndarray | float
) -> tuple[sparse.csr_array, int]:
    """Rows with ascending distinct columns, and the number of repeated pairs."""
    values = np.broadcast_to(np.asarray(weight, np.float32), len(source))
    pairs = (source.astype(np.int32, copy=False), target.astype(np.int32, copy=False))
    table = sparse.coo_array((values, pairs), shape=(num_nodes, num_nodes))
    table.has_canonical_format = True  # or tocsr() would add up the weights of repeated pairs
    rows = table.tocsr()
    rows.has_sorted_indices = False
    rows.sort_indices()
    return _distinct(rows)


def _distinct(rows: sparse.csr_array) -> tuple[sparse.csr_array, int]:
    new = np.ones(rows.nnz, bool)
    new[1:] = rows.indices[1:] != rows.indices[:-1]
    starts = rows.indptr[:-1]
    new[starts[starts < rows.nnz]] = True
    repeated = rows.nnz - int(new.sum())
    if not repeated:
        rows.has_canonical_format = True
        return rows, 0
    first = np.flatnonzero(new)
    ends = np.concatenate([[0], np.cumsum(new)])[rows.indptr].astype(rows.indptr.dtype)
    weights = np.maximum.reduceat(rows.data, first)
    kept = sparse.csr_array((weights, rows.indices[first], ends), shape=rows.shape)
    kept.has_canonical_format = True
    return kept, repeated


def refuse_too_many(links: int, *, field: str, fix: str) -> None:
    """Raises ConfigError for a relation with more links than an edge list may have."""
    if links > MAX_LINKS:
        raise ConfigError(
            f"the relation has {links} links",
            code="CONFIG_VALUE",
            field=field,
            expected=f"<= {MAX_LINKS}",
            got=links,
            fix=fix,
        )
