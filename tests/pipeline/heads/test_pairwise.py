import pytest
import torch

from pipeline.heads.pairwise import PairwiseLoss
from tests.head_fixtures import features_a, labels_a
from tests.references import pairwise_cross_entropy_loop


@pytest.mark.parametrize(("unit", "expected"), [(False, 0.65788157), (True, 0.86171900)])
def test_equals_published_values(unit: bool, expected: float) -> None:
    loss = PairwiseLoss(3, temperature=None, unit=unit)

    assert abs(loss(features_a(), labels_a(), torch.Generator()).item() - expected) < 1e-6


def test_equals_loop_where_classes_are_missing_from_the_batch() -> None:
    labels = [4, 4, 1, 1, 1, 0]

    loss = PairwiseLoss(9, temperature=None, unit=False)(features_a(), torch.tensor(labels), torch.Generator())

    assert loss.item() == pytest.approx(pairwise_cross_entropy_loop(features_a(), labels), abs=1e-9)
