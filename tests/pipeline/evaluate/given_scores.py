"""Similarities that a test writes down."""

import numpy as np
from hypothesis import strategies as st

from pipeline.evaluate.retrieval import Relevance


class GivenScores:
    def __init__(self, scores: np.ndarray) -> None:
        self.scores = np.asarray(scores, np.float64)

    @property
    def shape(self) -> tuple[int, int]:
        return self.scores.shape[0], self.scores.shape[1]

    def rows(self, start: int, stop: int) -> np.ndarray:
        return self.scores[start:stop].copy()


def rankings(rows: list[list[int]]) -> tuple[GivenScores, Relevance]:
    """One query a row: 1 = match, 0 = other, best first. The gallery holds the matches row by row."""
    sizes = [sum(row) for row in rows]
    gallery = np.concatenate([np.full(size, q) for q, size in enumerate(sizes)] + [[-1] * (len(rows[0]) - sum(sizes))])
    scores = np.empty((len(rows), len(rows[0])))
    for q, row in enumerate(rows):
        own, others = iter(np.flatnonzero(gallery == q)), iter(np.flatnonzero(gallery != q))
        for rank, hit in enumerate(row):
            scores[q, next(own if hit else others)] = -rank
    return GivenScores(scores), Relevance(np.arange(len(rows)), gallery.astype(np.int64))


@st.composite
def cases(draw: st.DrawFn) -> tuple[np.ndarray, Relevance]:
    """Few values, so that many scores are equal."""
    queries, gallery = draw(st.integers(1, 6)), draw(st.integers(1, 9))
    codes = st.integers(-1, 2)

    def column(size: int) -> np.ndarray:
        return np.array(draw(st.lists(codes, min_size=size, max_size=size)), np.int64)

    scores = draw(st.lists(st.integers(0, 4), min_size=queries * gallery, max_size=queries * gallery))
    junk = tuple((column(queries), column(gallery)) for _ in range(draw(st.integers(0, 2))))
    relevance = Relevance(column(queries), column(gallery), junk, spares_matches=draw(st.booleans()))
    return np.reshape(scores, (queries, gallery)) / 4.0, relevance
