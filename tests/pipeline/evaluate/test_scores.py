import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score, recall_score

from pipeline.evaluate.scores import score


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
