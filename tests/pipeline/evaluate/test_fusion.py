import numpy as np
import pytest

from pipeline.errors import DataError
from pipeline.evaluate.features import Features
from pipeline.evaluate.fusion import fuse, standardise

TRAIN = np.arange(30)


@pytest.fixture
def features() -> Features:
    rng = np.random.default_rng(0)
    present = np.ones(40, dtype=bool)
    present[[3, 8, 35]] = False
    values = {
        "a": rng.normal(5, 3, (40, 2)).astype(np.float32),
        "b": (rng.normal(-2, 7, (40, 3)) * present[:, None]).astype(np.float32),
    }
    return Features(np.arange(40), values, {"a": np.ones(40, dtype=bool), "b": present})


def test_statistics_come_from_the_training_rows_that_have_the_stream(features):
    x = fuse(features, ["a", "b"], train=TRAIN)
    seen = features.present["b"][:30]

    assert x.shape == (40, 2 + 3 + 1)
    np.testing.assert_allclose(x[:30, :2].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(x[:30][seen][:, 2:5].mean(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(x[:30][seen][:, 2:5].std(axis=0), 1, atol=1e-5)


def test_absent_rows_are_the_mean_and_flagged(features):
    x = fuse(features, ["b"], train=TRAIN)

    assert not x[~features.present["b"], :3].any()
    assert set(np.sign(x[:, 3])[features.present["b"]]) == {1.0}
    assert set(np.sign(x[:, 3])[~features.present["b"]]) == {-1.0}


def test_other_rows_do_not_move_the_statistics(features):
    before = fuse(features, ["a"], train=TRAIN)
    features.values["a"][30:] *= 1000

    np.testing.assert_array_equal(fuse(features, ["a"], train=TRAIN)[:30], before[:30])


def test_columns_constant_in_training_become_zero():
    x = np.array([[1e6, 1.0], [1e6, 2.0], [5.0, 3.0]], dtype=np.float32)

    assert standardise(x, np.array([0, 1]))[:, 0].tolist() == [0.0, 0.0, 0.0]


def test_a_stream_absent_from_training_says_nothing(features):
    features.present["b"][:30] = False
    x = fuse(features, ["b"], train=TRAIN)

    assert not x.any()


def test_unknown_streams_are_named(features):
    with pytest.raises(DataError, match=r"\['c'\]"):
        fuse(features, ["a", "c"], train=TRAIN)
