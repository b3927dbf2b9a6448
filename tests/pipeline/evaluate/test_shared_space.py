import numpy as np
import pytest
from sklearn.cross_decomposition import CCA

from pipeline.errors import NotMeasurable
from pipeline.evaluate.retrieval import Relevance, first_ranks
from pipeline.evaluate.shared_space import fit_shared_space
from pipeline.evaluate.similarity import Cosine


def streams(number: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Three causes in common; eight and five columns, most of them noise."""
    mixing = np.random.default_rng(99)
    a, b = mixing.normal(size=(3, 8)), mixing.normal(size=(3, 5))
    rng = np.random.default_rng(seed)
    causes = rng.normal(size=(number, 3))
    return causes @ a + 0.05 * rng.normal(size=(number, 8)) + 9, causes @ b + 0.05 * rng.normal(size=(number, 5))


def test_the_first_directions_are_those_of_canonical_correlation():
    x, y = streams(500, 0)
    space = fit_shared_space(x, y)
    other = CCA(3, max_iter=2000, tol=1e-8).fit(x, y)
    expected = [np.corrcoef(*pair)[0, 1] for pair in zip(*(each.T for each in other.transform(x, y)), strict=True)]
    a, b = space.project_first(x), space.project_second(y)
    found = [np.corrcoef(a[:, k], b[:, k])[0, 1] for k in range(3)]

    assert found == pytest.approx(expected, abs=0.01)
    assert a.mean(axis=0) == pytest.approx(np.zeros(5), abs=1e-9)


def test_unseen_pairs_find_each_other():
    space = fit_shared_space(*streams(500, 0))
    x, y = streams(200, 1)
    similarity = Cosine(space.project_first(x), space.project_second(y))

    ranks = first_ranks(similarity, Relevance(np.arange(200), np.arange(200)))

    assert (ranks == 1).mean() > 0.7
    assert np.median(ranks) == 1


def test_constant_streams_share_nothing_and_one_pair_is_too_few():
    x, y = streams(50, 0)
    space = fit_shared_space(x, np.ones((50, 2)))

    assert space.correlations == pytest.approx([0, 0], abs=1e-9)
    assert np.isfinite(space.project_second(y[:, :2])).all()
    with pytest.raises(NotMeasurable, match="at least 2"):
        fit_shared_space(x[:1], y[:1])
