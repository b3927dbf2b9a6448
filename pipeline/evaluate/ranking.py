"""The first of one query's ranking, as the metrics of `retrieval.py` see it: junk removed, ties against the match."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.evaluate.retrieval import TIE, Codes, Relevance
from pipeline.evaluate.similarity import Matrix, Similarity


@dataclass(frozen=True)
class Ranking:
    """items: (k,) gallery positions, the nearest first, with their similarities and whether they match.

    first_rank: of the best match among all `size` items that are left without junk, 0 = none.
    """

    items: Codes
    similarities: Matrix
    matches: NDArray[np.bool_]
    first_rank: int
    size: int


def rank(similarity: Similarity, relevance: Relevance, query: int, *, k: int) -> Ranking:
    """The k nearest of a query; `first_rank` is that of `retrieve`."""
    scores = similarity.rows(query, query + 1)[0]
    match = _equal(relevance.queries[query], relevance.gallery)
    junk = np.zeros(len(scores), bool)
    for codes, gallery in relevance.junk:
        junk |= _equal(codes[query], gallery)
    if relevance.spares_matches:
        junk &= ~match
    against = np.where(match, scores - TIE, scores)
    order = np.lexsort((match, -against))
    order = order[~junk[order]]
    found = np.flatnonzero(match[order])
    items = order[:k]
    return Ranking(items, scores[items], match[items], int(found[0]) + 1 if len(found) else 0, len(order))


def _equal(code: int, gallery: Codes) -> NDArray[np.bool_]:
    return (gallery == code) & (code >= 0)
