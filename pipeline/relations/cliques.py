"""A relation between all members of a group, whose links are never written down."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np


@dataclass(frozen=True)
class Cliques:
    """Nodes of equal group are linked; with cells, only those of equal group and different cell. See `cliques`.

    group (n,) int32, -1 where a node is alone. cell (n,) int32, distinct over groups, -1 where alone. members (m,)
    int32: the grouped nodes by (group, cell, node). place (n,) int32: a node's place among them. Takes 12 bytes per
    node, 16 with cells, whatever the number of links.
    """

    group: np.ndarray
    cell: np.ndarray | None
    members: np.ndarray
    place: np.ndarray
    weight: float = 1.0

    @property
    def num_nodes(self) -> int:
        return len(self.group)

    @property
    def num_links(self) -> int:
        return int(self.degree().sum())

    @cached_property
    def group_start(self) -> np.ndarray:
        """(G + 1,) int64: the members of group g are members[group_start[g]:group_start[g + 1]]."""
        return _starts(self.group)

    @cached_property
    def cell_start(self) -> np.ndarray | None:
        """The same of cells."""
        return None if self.cell is None else _starts(self.cell)

    def degree(self) -> np.ndarray:
        return self._degree(np.arange(self.num_nodes))

    def _degree(self, nodes: np.ndarray) -> np.ndarray:
        group = self.group[nodes]
        own_start, own_end = self._own(nodes)
        size = self.group_start[group + 1] - self.group_start[group]  # of these nodes alone: there may be many groups
        return np.where(group >= 0, size - (own_end - own_start), 0)

    def _own(self, nodes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The members that a node is not linked to: itself, or its cell."""
        if self.cell is None or self.cell_start is None:
            place = self.place[nodes].astype(np.int64)
            return place, place + 1
        if len(self.cell_start) == 1:
            return np.zeros(len(nodes), np.int64), np.zeros(len(nodes), np.int64)
        cell = self.cell[nodes]
        return self.cell_start[cell], self.cell_start[cell + 1]

    def neighbour(self, nodes: np.ndarray, place: np.ndarray) -> np.ndarray:
        own_start, own_end = self._own(nodes)
        member = self.group_start[self.group[nodes]] + place
        return self.members[np.where(member >= own_start, member + own_end - own_start, member)].astype(np.int64)

    def draw(self, nodes: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        degree = self._degree(nodes)
        drawn = np.full(len(nodes), -1, np.int64)
        has = np.flatnonzero(degree)
        place = (uniform[has].astype(np.float64) * degree[has]).astype(np.int64)
        drawn[has] = self.neighbour(nodes[has], np.minimum(place, degree[has] - 1))
        return drawn

    def links(self, rows: np.ndarray, columns: np.ndarray) -> np.ndarray:
        group = self.group[rows]
        linked = (group[:, None] == self.group[columns]) & (group >= 0)[:, None]
        own = rows if self.cell is None else self.cell[rows]
        others = columns if self.cell is None else self.cell[columns]
        return np.where(linked & (own[:, None] != others), np.float32(self.weight), np.float32(0))

    def linked(self, nodes: np.ndarray) -> np.ndarray:
        return self.links(nodes, nodes)


def _starts(numbers: np.ndarray) -> np.ndarray:
    known = numbers[numbers >= 0]
    return np.concatenate([[0], np.cumsum(np.bincount(known))]).astype(np.int64)


def cliques(group: np.ndarray, other: np.ndarray | None = None, *, weight: float = 1.0) -> Cliques:
    """Cliques of group numbers (n,), -1 for nodes that are alone; with `other` (n,), members must differ in it.

    A node whose `other` is unknown (-1) is alone: nobody can say that it differs.
    """
    group = np.asarray(group, np.int64)
    if other is not None:
        group = np.where(np.asarray(other) >= 0, group, -1)
    grouped = np.flatnonzero(group >= 0)
    cell = None
    sort_by = group
    if other is not None:
        pair = group[grouped] * (int(np.max(other, initial=0)) + 1) + np.asarray(other, np.int64)[grouped]
        cell = np.full(len(group), -1, np.int32)
        cell[grouped] = np.unique(pair, return_inverse=True)[1]
        sort_by = cell
    members = grouped[np.argsort(sort_by[grouped], kind="stable")]
    place = np.full(len(group), -1, np.int32)
    place[members] = np.arange(len(members), dtype=np.int32)
    return Cliques(group.astype(np.int32), cell, members.astype(np.int32), place, weight)
