import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score, recall_score

from pipeline.evaluate.scores import group_interval, score


@pytest.mark.parametrize("seed", range(3))
def test_scores_equal_scikit_learns(seed):
    rng = np.random.default_rng(seed)
    y, predicted = rng.integers(0, 5, 200), rng.integers(0, 5, 200)
    found = score(predicted, y, num_classes=5)

    assert found.accuracy == pytest.approx(accuracy_score(y, predicted))
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(y, predicted))
    assert found.f1_macro == pytest.approx(f1_score(y, predicted, average="macro"))
    assert found.recall_min == pytest.approx(recall_score(y, predicted, average=None).min())
    assert found.confusion.tolist() == confusion_matrix(y, predicted).tolist()


def test_class_numbers_are_not_mistaken_for_scores():
    y = np.array([0, 1, 39, 39, 17])

    assert score(y.copy(), y, num_classes=40).accuracy == 1.0


def test_recalls_are_of_classes_that_occur():
    found = score(np.array([0, 0, 1, 0, 3]), np.array([0, 0, 0, 3, 3]), num_classes=5)

    assert found.recall_min == pytest.approx(1 / 2)
    assert found.recall_p10 == pytest.approx(1 / 2 + 0.1 * (2 / 3 - 1 / 2))
    assert found.balanced_accuracy == pytest.approx((1 / 2 + 2 / 3) / 2)


def test_the_interval_follows_the_groups_not_the_rows():
    groups = np.repeat([f"s{i}" for i in range(10)], 200)
    alike = np.tile([1.0, 0.0], 1000)
    apart = np.repeat([1.0, 0.0] * 5, 200)  # same accuracy, but whole groups are right or wrong
    narrow, wide = (group_interval(c, groups, rng=np.random.default_rng(0)) for c in (alike, apart))

    assert narrow == (0.5, 0.5)
    assert wide is not None
    assert wide[0] < 0.3
    assert wide[1] > 0.7


def test_one_group_gives_no_interval():
    assert group_interval(np.ones(4), np.array(["a"] * 4), rng=np.random.default_rng(0)) is None
