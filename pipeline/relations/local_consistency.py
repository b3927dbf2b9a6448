"""How often linked samples have equal labels, before anything is trained (arXiv 2103.10334, local consistency).

If the ball of some radius around each embedding holds exactly the sample's neighbours, then the leave-one-out majority
vote of that ball is right as often as LC_maj says, and a uniformly drawn member of it as often as LC_node says. The
graph must be recovered for that: see `graph_recovery`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from pipeline.relations.clique_consistency import clique_agreement
from pipeline.relations.cliques import Cliques
from pipeline.relations.edges import Edges
from pipeline.relations.vote import Agreement, packed_votes, voted

_CHUNK = 1 << 21


@dataclass(frozen=True)
class Consistency:
    """node: mean over samples of the share of their neighbours with an equal label (LC_node). edge: share of links with
    equal labels (LC_edge). majority: share of samples whose label is the most frequent one of their neighbours
    (LC_maj; the smallest number where several are). NaN where nothing counts.

    num_nodes: labelled samples with a labelled neighbour; num_links: links between labelled samples, from both ends.
    """

    node: float
    edge: float
    majority: float
    num_nodes: int
    num_links: int


def local_consistency(relation: Cliques | Edges, labels: np.ndarray) -> Consistency:
    """LC_node, LC_edge and LC_maj of labels (n,) int64; samples with label -1 count neither as such nor as neighbours.

    Cliques cost O(n log n) whatever the number of links; edge lists go chunk by chunk.
    """
    closed = isinstance(relation, Cliques)
    parts = [clique_agreement(relation, labels)] if closed else _edge_agreement(relation, labels)
    share = links = equal = nodes = hits = 0.0
    for part in parts:
        counted = part.known > 0
        share += float((part.equal[counted] / part.known[counted]).sum())
        links, equal = links + int(part.known.sum()), equal + int(part.equal.sum())
        nodes, hits = nodes + int(counted.sum()), hits + int((part.hit & counted).sum())
    if not nodes:
        return Consistency(np.nan, np.nan, np.nan, 0, 0)
    return Consistency(share / nodes, equal / links, hits / nodes, int(nodes), int(links))


def _edge_agreement(edges: Edges, labels: np.ndarray) -> Iterator[Agreement]:
    """Of nodes in chunks of about as many links."""
    low, classes = 0, int(labels.max(initial=0)) + 1
    while low < edges.num_nodes:
        limit = int(np.searchsorted(edges.indptr, edges.indptr[low] + _CHUNK, side="right")) - 1
        high = min(max(limit, low + 1), low + _CHUNK)
        yield _of_rows(edges, labels, classes, low, high)
        low = high


def _of_rows(edges: Edges, labels: np.ndarray, classes: int, low: int, high: int) -> Agreement:
    own = labels[low:high]
    row = np.repeat(np.arange(high - low), np.diff(edges.indptr[low : high + 1]))
    label = labels[edges.indices[edges.indptr[low] : edges.indptr[high]]]
    counted = (label >= 0) & (own[row] >= 0)
    row, label = row[counted], label[counted]
    known = np.bincount(row, minlength=high - low)
    equal = np.bincount(row[label == own[row]], minlength=high - low)
    keys, votes = np.unique(row * classes + label, return_counts=True)
    most = np.zeros(high - low, np.int64)
    np.maximum.at(most, keys // classes, packed_votes(votes, keys % classes, classes))
    return Agreement(known, equal, voted(most, classes) == own)
