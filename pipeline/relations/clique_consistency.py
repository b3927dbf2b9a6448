"""Agreement inside cliques from counts: no link is looked at."""

from dataclasses import dataclass

import numpy as np

from pipeline.relations.cliques import Cliques
from pipeline.relations.vote import Agreement, packed_votes, voted


@dataclass(frozen=True)
class _Counts:
    """Distinct (group, label) pairs, sorted: group, label and number of nodes of each (P,)."""

    group: np.ndarray
    label: np.ndarray
    count: np.ndarray
    classes: int


@dataclass(frozen=True)
class _Views:
    """Nodes of one view have the same neighbours, as far as labels go: all of their group but `count` of each `pair`.

    view, pair, count (E,): entries by view, then pair; group (K,): of each view.
    """

    view: np.ndarray
    pair: np.ndarray
    count: np.ndarray
    group: np.ndarray


def clique_agreement(relation: Cliques, labels: np.ndarray) -> Agreement:
    """Of the labelled nodes (m,) that have a group, for labels (n,) int64 with -1 unknown."""
    nodes = np.flatnonzero((labels >= 0) & (relation.group >= 0))
    classes = int(labels.max(initial=0)) + 1
    group, label = relation.group[nodes].astype(np.int64), labels[nodes]
    keys, pair_of, count = np.unique(group * classes + label, return_inverse=True, return_counts=True)
    counts = _Counts(keys // classes, keys % classes, count, classes)
    size = np.bincount(group)
    if relation.cell is None:  # a node sees its group without itself
        every = np.arange(len(keys))
        views = _Views(every, every, np.ones(len(keys), np.int64), counts.group)
        known, equal, view_of = size[group] - 1, count[pair_of] - 1, pair_of
    else:
        cells, view_of = np.unique(relation.cell[nodes], return_inverse=True)
        entries, entry_of, inside = np.unique(view_of * len(keys) + pair_of, return_inverse=True, return_counts=True)
        of_view = np.zeros(len(cells), np.int64)
        of_view[view_of] = group
        views = _Views(entries // max(len(keys), 1), entries % max(len(keys), 1), inside, of_view)
        known = size[group] - np.bincount(view_of)[view_of]
        equal = count[pair_of] - inside[entry_of]
    return Agreement(known, equal, _winners(counts, views)[view_of] == label)


def _winners(counts: _Counts, views: _Views) -> np.ndarray:
    """The label (K,) with most votes in every view.

    It is one of the view's own labels, with its reduced count, or else the group's best label that the view does not
    have: the first rank that is missing among those it has.
    """
    order = np.lexsort((counts.label, -counts.count, counts.group))
    per_group = np.bincount(counts.group)
    start = np.cumsum(per_group) - per_group
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order)) - start[counts.group[order]]

    sort = np.lexsort((rank[views.pair], views.view))
    view, pair = views.view[sort], views.pair[sort]
    per_view = np.bincount(view, minlength=len(views.group))
    place = np.arange(len(view)) - (np.cumsum(per_view) - per_view)[view]
    missing = np.bincount(view[rank[pair] == place], minlength=len(views.group))

    best = np.zeros(len(views.group), np.int64)
    reduced = counts.count[pair] - views.count[sort]
    np.maximum.at(best, view, packed_votes(reduced, counts.label[pair], counts.classes))
    others = np.flatnonzero(missing < per_group[views.group])
    absent = order[start[views.group[others]] + missing[others]]
    absent_votes = packed_votes(counts.count[absent], counts.label[absent], counts.classes)
    best[others] = np.maximum(best[others], absent_votes)
    return voted(best, counts.classes)
