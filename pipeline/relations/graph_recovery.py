"""How well embeddings show the links of a relation: the premise of local consistency (arXiv 2103.10334)."""

from dataclasses import dataclass

import numpy as np
import torch
from torchmetrics.functional.classification import binary_auroc

from modalities.draws import derive_seed
from pipeline.data.permutation import numbered_keys, permute
from pipeline.errors import ConfigError, DataError
from pipeline.relations.ranges import ranges
from pipeline.relations.relation import Relation

_TILE = 64
_DECIMALS = 6  # float32 sums in another order differ beyond that; a tie must stay one


@dataclass(frozen=True)
class RecoverySample:
    """How much is looked at: exact where there are no more anchors, samples and neighbours than that.

    anchors: samples that have neighbours. candidates: samples any anchor is compared with. neighbours: of an anchor.
    """

    anchors: int = 512
    candidates: int = 8192
    neighbours: int = 256
    seed: int = 0


@dataclass(frozen=True)
class Recovery:
    """auroc: probability that a link has a larger cosine similarity than a pair without, over all anchors together, as
    one radius has to serve all. mrr: mean reciprocal rank of an anchor's first neighbour. recall: k -> mean share of an
    anchor's neighbours among its k nearest. Ties count half in auroc and against the neighbour in ranks, so embeddings
    that are all equal recover nothing. NaN without links."""

    auroc: float
    mrr: float
    recall: dict[int, float]
    num_anchors: int


def graph_recovery(
    relation: Relation,
    embeddings: np.ndarray,
    *,
    ks: tuple[int, ...] = (1, 10, 100),
    sample: RecoverySample | None = None,
) -> Recovery:
    """Compare keyed anchors' similarities to their neighbours and to samples they are not linked to.

    embeddings: (n, d), one row per node, any length; may be memory-mapped, as only drawn rows are read. Memory is
    anchors x (candidates + neighbours) float32. Raises ConfigError for a wrong number of rows, DataError for values
    that are not finite.
    """
    sample = sample or RecoverySample()
    if len(embeddings) != relation.num_nodes:
        raise ConfigError(
            "one embedding per sample", code="CONFIG_VALUE", expected=relation.num_nodes, got=len(embeddings)
        )
    anchors = _drawn(np.flatnonzero(relation.degree()), sample.anchors, derive_seed(sample.seed, "recovery/anchors"))
    pool = _drawn(np.arange(relation.num_nodes), sample.candidates, derive_seed(sample.seed, "recovery/candidates"))
    if not len(anchors):
        return Recovery(np.nan, np.nan, dict.fromkeys(ks, np.nan), 0)
    candidates = _unit(embeddings, pool)
    found: list[tuple[np.ndarray, np.ndarray]] = []
    for low in range(0, len(anchors), _TILE):
        found += _tile(relation, embeddings, anchors[low : low + _TILE], (pool, candidates), sample)
    return _summary(found, ks)


def _drawn(nodes: np.ndarray, limit: int, key: int) -> np.ndarray:
    if len(nodes) <= limit:
        return nodes
    return np.sort(nodes[permute(np.arange(limit), size=len(nodes), key=key)])


def _unit(embeddings: np.ndarray, nodes: np.ndarray) -> np.ndarray:
    rows = np.asarray(embeddings[nodes], np.float32)
    bad = np.flatnonzero(~np.isfinite(rows).all(axis=1))
    if len(bad):
        node = int(nodes[bad[0]])
        raise DataError(f"the embedding of node {node} is not finite", code="DATA_NOT_FINITE", field="embeddings")
    return rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)


def _tile(
    relation: Relation,
    embeddings: np.ndarray,
    anchors: np.ndarray,
    pool: tuple[np.ndarray, np.ndarray],
    sample: RecoverySample,
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Similarities of each anchor to neighbours, descending, and to other samples, ascending."""
    nodes, candidates = pool
    own = _unit(embeddings, anchors)
    similarity = np.round(own @ candidates.T, _DECIMALS)
    free = (relation.links(anchors, nodes) == 0) & (anchors[:, None] != nodes)
    degree = relation.degree()[anchors]
    count = np.minimum(degree, sample.neighbours)
    places = ranges(np.zeros(len(anchors)), count)
    size = np.repeat(degree, count)
    keys = np.repeat(numbered_keys(derive_seed(sample.seed, "recovery/neighbours"), anchors), count)
    row = np.repeat(np.arange(len(anchors)), count)
    neighbours = relation.neighbour(anchors[row], permute(places, size=size, key=keys))
    linked = np.round(np.einsum("ed,ed->e", own[row], _unit(embeddings, neighbours)), _DECIMALS)
    ends = np.cumsum(count)
    parts = np.split(linked, ends[:-1])
    return [(-np.sort(-part), np.sort(line[mask])) for part, line, mask in zip(parts, similarity, free, strict=True)]


def _summary(found: list[tuple[np.ndarray, np.ndarray]], ks: tuple[int, ...]) -> Recovery:
    ranks = [
        len(others) - np.searchsorted(others, linked, side="left") + np.arange(1, len(linked) + 1)
        for linked, others in found
    ]
    recall = {k: float(np.mean([(rank <= k).mean() for rank in ranks])) for k in ks}
    mrr = float(np.mean([1.0 / rank[0] for rank in ranks]))
    return Recovery(_auroc(found), mrr, recall, len(found))


def _auroc(found: list[tuple[np.ndarray, np.ndarray]]) -> float:
    """Similarities go to [0, 1] first: outside it torchmetrics takes them for logits."""
    linked, others = (np.concatenate(parts) for parts in zip(*found, strict=True))
    if not len(others):
        return float("nan")
    scores = torch.from_numpy((np.concatenate([linked, others]) + 1) / 2).clamp(0, 1)
    target = torch.zeros(len(scores), dtype=torch.int64)
    target[: len(linked)] = 1
    return float(binary_auroc(scores, target))
