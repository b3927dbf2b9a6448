import numpy as np
import pytest
from sklearn.metrics import adjusted_mutual_info_score, adjusted_rand_score, normalized_mutual_info_score

from pipeline.errors import DataError, NotMeasurable
from pipeline.evaluate.clustering import cluster

Y = np.repeat(np.arange(3), 30)


def blobs(noise: float) -> np.ndarray:
    rng = np.random.default_rng(0)
    return 5 * np.eye(3, 8)[Y] + noise * rng.normal(size=(90, 8))


def test_separate_classes_are_found_whatever_they_are_called():
    found = cluster(blobs(0.2), np.array([7, 2, 4])[Y], seed=0)

    assert (found.nmi, found.ari, found.ami) == pytest.approx((1, 1, 1))


def test_unrelated_classes_agree_no_more_than_chance():
    found = cluster(np.random.default_rng(1).normal(size=(90, 8)), Y, seed=0)

    assert (found.ari, found.ami) == pytest.approx((0, 0), abs=0.05)


def test_the_length_of_features_does_not_count_and_unlabelled_samples_are_left_out():
    x, y = blobs(2.0), Y.copy()
    y[::4] = -1
    lengths = np.random.default_rng(2).uniform(0.1, 50, size=(90, 1))

    found = cluster(x * lengths, y, seed=3)

    assert 0 < found.ari < 1
    assert found == cluster(x[y >= 0], y[y >= 0], seed=3)


def test_agreement_is_scikit_learns(monkeypatch):
    from pipeline.evaluate import clustering

    clusters = np.random.default_rng(3).integers(0, 3, 90)

    class Fixed:
        def __init__(self, *_: object, **__: object) -> None: ...

        def fit_predict(self, x: np.ndarray) -> np.ndarray:
            return clusters

    monkeypatch.setattr(clustering, "KMeans", Fixed)
    found = cluster(blobs(1.0), Y, seed=0)

    expected = [score(Y, clusters) for score in (normalized_mutual_info_score, adjusted_rand_score)]
    assert (found.nmi, found.ari) == pytest.approx(expected, abs=1e-6)
    assert found.ami == pytest.approx(adjusted_mutual_info_score(Y, clusters))


def test_one_class_and_damaged_features_are_refused():
    with pytest.raises(NotMeasurable, match="one class"):
        cluster(blobs(1.0), np.zeros(90, np.int64), seed=0)
    with pytest.raises(DataError, match="DATA_NOT_FINITE"):
        cluster(np.full((90, 8), np.nan), Y, seed=0)
