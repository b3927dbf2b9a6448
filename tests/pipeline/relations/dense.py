"""References that a reader can check: a relation as a dense matrix, and loops over it."""

from collections import Counter

import numpy as np
from hypothesis import strategies as st

from pipeline.relations.cliques import Cliques, cliques
from pipeline.relations.edges import Edges
from pipeline.relations.symmetrise import symmetrise


def dense_links(relation: Cliques | Edges) -> np.ndarray:
    """Weights (n, n) from the neighbours one by one."""
    matrix = np.zeros((relation.num_nodes, relation.num_nodes), np.float32)
    for node, degree in enumerate(relation.degree().tolist()):
        for place in range(degree):
            neighbour = int(relation.neighbour(np.array([node]), np.array([place]))[0])
            matrix[node, neighbour] = relation.linked(np.array([node, neighbour]))[0, 1]
    return matrix


def consistency_by_loops(matrix: np.ndarray, labels: np.ndarray) -> tuple[float, float, float]:
    """LC_node, LC_edge, LC_maj of labels with -1 unknown."""
    shares, hits, equal, links = [], [], 0, 0
    for node in range(len(labels)):
        votes = Counter(int(labels[j]) for j in np.flatnonzero(matrix[node]) if labels[j] >= 0)
        if labels[node] < 0 or not votes:
            continue
        own = int(labels[node])
        shares.append(votes[own] / votes.total())
        hits.append(own == min(c for c in votes if votes[c] == max(votes.values())))
        equal, links = equal + votes[own], links + votes.total()
    return (float(np.mean(shares)), equal / links, float(np.mean(hits))) if shares else (np.nan, np.nan, np.nan)


@st.composite
def some_cliques(draw: st.DrawFn) -> Cliques:
    """Cliques with nodes that are alone, half of them with cells."""
    count = draw(st.integers(1, 30))
    numbers = st.lists(st.integers(-1, 4), min_size=count, max_size=count)
    other = np.array(draw(numbers)) if draw(st.booleans()) else None
    return cliques(np.array(draw(numbers)), other, weight=draw(st.sampled_from([1.0, 0.5])))


@st.composite
def some_edges(draw: st.DrawFn) -> Edges:
    """A random graph with repeated and one-directional pairs, half of them weighted."""
    count = draw(st.integers(1, 20))
    pairs = np.array(draw(st.lists(st.tuples(*[st.integers(0, count - 1)] * 2), max_size=60)), np.int64).reshape(-1, 2)
    weights = st.lists(st.floats(0.25, 8, width=32), min_size=len(pairs), max_size=len(pairs))
    weight = np.array(draw(weights), np.float32) if draw(st.booleans()) else 1.0
    return symmetrise(count, pairs[:, 0], pairs[:, 1], weight).edges


some_relation = st.one_of(some_cliques(), some_edges())
