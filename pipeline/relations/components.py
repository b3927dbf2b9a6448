"""Connected parts of a relation."""

from dataclasses import dataclass

import numpy as np
from scipy import sparse
from scipy.sparse.csgraph import connected_components

from pipeline.relations.cliques import Cliques
from pipeline.relations.edges import Edges


@dataclass(frozen=True)
class Components:
    """count: connected parts, an isolated sample is one. largest: samples in the largest."""

    count: int
    largest: int


def components(relation: Cliques | Edges) -> Components:
    """Connected parts; of cliques from their counts."""
    if isinstance(relation, Cliques):
        # A group whose members have any neighbours at all is connected, also across cells.
        linked = relation.degree() > 0
        sizes = np.bincount(relation.group[linked])
        isolated = int((~linked).sum())
        return Components(int((sizes > 0).sum()) + isolated, int(sizes.max(initial=isolated > 0)))
    # One value for all links takes no memory; a symmetric graph has equal strong and weak components, and the strong
    # ones are found without a transposed copy.
    ones = np.broadcast_to(np.float64(1), relation.num_links)
    shape = (relation.num_nodes, relation.num_nodes)
    graph = sparse.csr_array((ones, relation.indices, relation.indptr), shape=shape)
    count, number = connected_components(graph, directed=True, connection="strong")
    return Components(int(count), int(np.bincount(number).max(initial=0)))
