"""Retrieval: R@k, mAP and mINP (arXiv 2001.04193) with junk removal, in memory bounded by tiles of queries.

Of a query's ranking, junk (such as the same recording session) is removed first. A match of rank r among the others
counts as found at k >= r. Average precision is the mean over matches of (matches so far) / rank; the inverse negative
penalty is (number of matches) / (rank of the last one): how far down one must scroll to see every match.

Ties count against the match: an item that is as alike, up to rounding, comes before it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from pipeline.errors import DataError, NotMeasurable
from pipeline.evaluate.similarity import Matrix, Similarity
from pipeline.relations.ranges import ranges

Codes = NDArray[np.int64]
TILE = 1 << 22
"""Similarities held at once."""
TIE = 1e-6
"""Difference of similarities that float32 sums in another order may make."""


@dataclass(frozen=True)
class Relevance:
    """What belongs together, by equal codes; -1 is unknown, and equal to nothing.

    queries (Q,), gallery (G,): a query's matches are the gallery items of its code.
    junk: pairs of codes (Q,), (G,), such as of the session; an item that is equal in any of them is left out.
    spares_matches: a match is never junk, such as where windows near a sample are neither it nor a wrong answer.
    """

    queries: Codes
    gallery: Codes
    junk: tuple[tuple[Codes, Codes], ...] = ()
    spares_matches: bool = False


@dataclass(frozen=True)
class Retrieval:
    """By query (Q,). first_rank: of its best match, 0 = it has none, so it does not count; the others NaN then."""

    first_rank: Codes
    average_precision: NDArray[np.float64]
    inverse_penalty: NDArray[np.float64]

    @property
    def counted(self) -> NDArray[np.bool_]:
        """(Q,) True for the queries that have a match."""
        return self.first_rank > 0

    @property
    def mean_average_precision(self) -> float:
        """mAP."""
        return float(self.average_precision[self.counted].mean())

    @property
    def mean_inverse_penalty(self) -> float:
        """mINP."""
        return float(self.inverse_penalty[self.counted].mean())

    def recall(self, k: int) -> float:
        """R@k: share of queries with a match among their k nearest."""
        return float((self.first_rank[self.counted] <= k).mean())


def retrieve(similarity: Similarity, relevance: Relevance, *, tile: int = TILE) -> Retrieval:
    """Rank the gallery for every query. Raises NotMeasurable where no query has a match, or the gallery is empty."""
    num_queries = _check(similarity, relevance)
    first, precision = np.zeros(num_queries, np.int64), np.full(num_queries, np.nan)
    penalty = np.full(num_queries, np.nan)
    for start, others, matches in _tiles(similarity, relevance, tile):
        others.sort(axis=1)
        for row, scores in enumerate(matches):
            if len(scores):
                ahead = others.shape[1] - np.searchsorted(others[row], scores - TIE, side="left")
                found = np.arange(1, len(scores) + 1)
                ranks = found + ahead
                first[start + row], penalty[start + row] = ranks[0], len(scores) / ranks[-1]
                precision[start + row] = (found / ranks).mean()
    return _some(Retrieval(first, precision, penalty))


def first_ranks(similarity: Similarity, relevance: Relevance, *, tile: int = TILE) -> Codes:
    """Rank of every query's best match (Q,), 0 = none: all that R@k needs, without sorting. Raises as `retrieve`."""
    first = np.zeros(_check(similarity, relevance), np.int64)
    for start, others, matches in _tiles(similarity, relevance, tile):
        best = np.array([scores[0] if len(scores) else np.nan for scores in matches], others.dtype)
        ahead = np.count_nonzero(others >= (best - TIE)[:, None], axis=1)
        first[start : start + len(best)] = np.where(np.isnan(best), 0, 1 + ahead)
    if not first.any():
        raise _no_match()
    return first


def _tiles(similarity: Similarity, relevance: Relevance, tile: int) -> Iterator[tuple[int, Matrix, list[Matrix]]]:
    """First query, similarities (b, G) with -inf for matches and junk, and each query's matches, best first."""
    num_queries, num_gallery = similarity.shape
    members = _Members(relevance.gallery)
    junk = [(codes, _Members(gallery)) for codes, gallery in relevance.junk]
    size = max(1, tile // num_gallery)
    for start in range(0, num_queries, size):
        stop = min(start + size, num_queries)
        scores = similarity.rows(start, stop)
        rows, columns = members.pairs(relevance.queries[start:stop])
        matched = scores[rows, columns]
        for codes, same in junk:
            scores[same.pairs(codes[start:stop])] = -np.inf
        if not relevance.spares_matches:
            kept = scores[rows, columns] > -np.inf
            rows, columns, matched = rows[kept], columns[kept], matched[kept]
        scores[rows, columns] = -np.inf
        order = np.lexsort((-matched, rows))
        ends = np.cumsum(np.bincount(rows, minlength=stop - start))
        yield start, scores, np.split(matched[order], ends[:-1])


class _Members:
    """Positions of each code."""

    def __init__(self, codes: Codes) -> None:
        self._order = np.argsort(codes, kind="stable")
        self._codes = codes[self._order]

    def pairs(self, queries: Codes) -> tuple[Codes, Codes]:
        """Every (row of queries, position) of equal known codes, by row."""
        low, high = (np.searchsorted(self._codes, queries, side=side) for side in ("left", "right"))
        counts = np.where(queries < 0, 0, high - low)
        return np.repeat(np.arange(len(queries)), counts), self._order[ranges(low, counts)]


def _check(similarity: Similarity, relevance: Relevance) -> int:
    given = [(relevance.queries, relevance.gallery), *relevance.junk]
    for queries, gallery in given:
        if (len(queries), len(gallery)) != similarity.shape:
            raise DataError(
                "one code for every query and gallery item",
                code="DATA_SHAPE",
                field="relevance",
                expected=list(similarity.shape),
                got=[len(queries), len(gallery)],
            )
    if not all(similarity.shape):
        raise NotMeasurable(
            "retrieval needs queries and a gallery",
            code="DATA_EMPTY",
            field="gallery",
            expected="at least 1 query and 1 gallery item",
            got=list(similarity.shape),
        )
    return similarity.shape[0]


def _some(found: Retrieval) -> Retrieval:
    if not found.counted.any():
        raise _no_match()
    return found


def _no_match() -> NotMeasurable:
    return NotMeasurable(
        "no query has a match in the gallery once junk is removed",
        code="DATA_NO_MATCH",
        field="gallery",
        fix="retrieve something that occurs in more than one session, or ingest more of them into the test split",
    )
