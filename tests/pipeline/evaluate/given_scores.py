"""Similarities that a test writes down."""

import numpy as np

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
