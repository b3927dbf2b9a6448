"""Which clusters to look at, and which of their samples: the largest, the smallest, the purest and so on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

MAX_CLUSTERS = 8
SAMPLES = 5
LEAST_LABELLED = 5
"""Labelled members below which a cluster is neither pure nor impure, as long as others have more."""


@dataclass(frozen=True)
class Members:
    """Samples with a pseudo-label. idx: (M,). cluster: (M,), none negative. x: (M, D) features. classes: (M,), -1
    where unlabelled; `names` are theirs, none where there is no label."""

    idx: NDArray[np.int64]
    cluster: NDArray[np.int64]
    x: NDArray[np.floating]
    classes: NDArray[np.int64]
    names: Sequence[str]


@dataclass(frozen=True)
class ChosenCluster:
    """roles: why it is shown, e.g. "largest"; none where there was room. share: of all samples with a pseudo-label.
    purity: share of `majority` among its labelled members; None where none is labelled. idx: nearest to the centre
    first; the centre is the mean of the features of its members."""

    cluster: int
    roles: tuple[str, ...]
    size: int
    share: float
    majority: str
    purity: float | None
    idx: tuple[int, ...]


def choose_clusters(members: Members) -> list[ChosenCluster]:
    """At most MAX_CLUSTERS, by size: those with a role, then the largest others; SAMPLES of each."""
    every, labelled = _describe(members)
    roles = _roles(every, labelled)
    kept = sorted(roles, key=lambda position: (not roles[position], position))[:MAX_CLUSTERS]
    return [_with_samples(members, every[position], tuple(roles[position])) for position in sorted(kept)]


def _describe(members: Members) -> tuple[list[ChosenCluster], list[int]]:
    """Every cluster, the largest first, without roles and samples; how many members of each are labelled."""
    numbers, position, sizes = np.unique(members.cluster, return_inverse=True, return_counts=True)
    width = max(len(members.names), 1)
    known = members.classes >= 0
    cells = np.bincount(position[known] * width + members.classes[known], minlength=len(numbers) * width)
    counts = cells.reshape(len(numbers), width)
    every, labelled = [], counts.sum(axis=1)
    order = np.lexsort((numbers, -sizes))
    for k in order.tolist():
        best = int(counts[k].argmax())
        majority, purity = (members.names[best], float(counts[k, best] / labelled[k])) if labelled[k] else ("", None)
        size = int(sizes[k])
        every.append(ChosenCluster(int(numbers[k]), (), size, size / len(members.idx), majority, purity, ()))
    return every, labelled[order].tolist()


def _roles(clusters: Sequence[ChosenCluster], labelled: Sequence[int]) -> dict[int, list[str]]:
    """Position of each of the clusters, which come by size -> what makes it worth a look."""
    roles: dict[int, list[str]] = {position: [] for position in range(len(clusters))}
    if len(clusters) < 2:
        return roles
    roles[0].append("largest")
    roles[len(clusters) - 1].append("smallest")
    roles[len(clusters) // 2].append("median size")
    pure = {position: cluster.purity for position, cluster in enumerate(clusters) if cluster.purity is not None}
    pure = {position: purity for position, purity in pure.items() if labelled[position] >= LEAST_LABELLED} or pure
    if len(set(pure.values())) > 1:
        roles[max(pure, key=lambda position: pure[position])].append("purest")
        roles[min(pure, key=lambda position: pure[position])].append("least pure")
    return roles


def _with_samples(members: Members, chosen: ChosenCluster, roles: tuple[str, ...]) -> ChosenCluster:
    rows = np.flatnonzero(members.cluster == chosen.cluster)
    x = members.x[rows].astype(np.float64)
    distance = np.linalg.norm(x - x.mean(axis=0), axis=1)
    nearest = rows[np.lexsort((members.idx[rows], distance))][:SAMPLES]
    return replace(chosen, roles=roles, idx=tuple(members.idx[nearest].tolist()))
