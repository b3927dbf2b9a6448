import numpy as np
import pytest

from pipeline.errors import DataError, NotMeasurable
from pipeline.evaluate.re_ranking import ReRanked, ReRanking
from pipeline.evaluate.retrieval import Relevance, retrieve
from pipeline.evaluate.similarity import Cosine


def re_ranking_loop(x: np.ndarray, queries: int, gallery: slice, k1: int, k2: int, weight: float) -> np.ndarray:
    """The authors' code on one dense matrix of squared distances of unit vectors."""
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    original = np.square(x[:, None] - x[None]).sum(axis=2)
    original = (original / original.max(axis=0)).T
    rank = np.argsort(original, axis=1, kind="stable")
    v = np.zeros_like(original)

    def reciprocal(i: int, k: int) -> np.ndarray:
        forward = rank[i, : k + 1]
        return np.array([j for j in forward if i in rank[j, : k + 1]])

    for i in range(len(x)):
        own = reciprocal(i, k1)
        expanded = own
        for candidate in own:
            close = reciprocal(candidate, round(k1 / 2))
            if len(np.intersect1d(close, own)) > 2 / 3 * len(close):
                expanded = np.append(expanded, close)
        expanded = np.unique(expanded)
        v[i, expanded] = np.exp(-original[i, expanded])
        v[i] /= v[i].sum()
    if k2 > 1:
        v = np.stack([v[rank[i, :k2]].mean(axis=0) for i in range(len(x))])
    common = np.minimum(v[:queries, None], v[None, gallery]).sum(axis=2)
    return (1 - weight) * (1 - common / (2 - common)) + weight * original[:queries, gallery]


def clustered(seed: int, number: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    return rng.normal(size=(6, 8))[rng.integers(0, 6, number)] + 0.4 * rng.normal(size=(number, 8))


@pytest.mark.parametrize(("k1", "k2", "weight"), [(20, 6, 0.3), (5, 1, 0.0), (7, 3, 0.9)])
def test_distances_are_those_of_the_authors(k1, k2, weight):
    x = clustered(0, 70)
    expected = re_ranking_loop(x, 30, slice(30, 70), k1, k2, weight)

    found = ReRanked(x[:30], x[30:], ReRanking(k1, k2, weight))

    assert found.shape == (30, 40)
    assert -found.rows(0, 30) == pytest.approx(expected, abs=1e-12)
    assert (found.rows(11, 14) == found.rows(0, 30)[11:14]).all()


def test_samples_among_themselves_are_not_counted_twice():
    x = clustered(1, 50)

    found = ReRanked(x, x, ReRanking(8, 3, 0.3))

    assert -found.rows(0, 50) == pytest.approx(re_ranking_loop(x, 50, slice(0, 50), 8, 3, 0.3), abs=1e-12)


def test_re_ranking_finds_more_in_clusters():
    rng = np.random.default_rng(2)
    ids = rng.integers(0, 10, 200)
    x = rng.normal(size=(10, 16))[ids] + 0.9 * rng.normal(size=(200, 16))
    relevance = Relevance(ids, ids, ((np.arange(200), np.arange(200)),))

    before, after = retrieve(Cosine(x, x), relevance), retrieve(ReRanked(x, x), relevance)

    assert after.mean_average_precision > before.mean_average_precision + 0.02


def test_equal_samples_and_too_few_are_defined():
    same = ReRanked(np.ones((5, 2)), np.ones((4, 2)), ReRanking(k1=3, k2=2)).rows(0, 5)

    assert np.isfinite(same).all()
    with pytest.raises(NotMeasurable, match=r"DATA_TOO_FEW.*k1"):
        ReRanked(np.ones((5, 2)), np.ones((4, 2)), ReRanking(k1=9))
    with pytest.raises(DataError, match="DATA_NOT_FINITE"):
        ReRanked(np.ones((5, 2)), np.full((4, 2), np.inf), ReRanking(k1=3))
