import pytest
import torch

from pipeline.heads.sup_con import SupConLoss
from tests.references import fixture_a, sup_con_loop


def test_equals_published_value_of_both_views() -> None:
    labels = torch.tensor([0, 0, 1, 1, 2, 2] * 2)

    loss = SupConLoss(0.1)(torch.cat(fixture_a()), labels, torch.Generator())

    assert abs(loss.item() - 3.89991613) < 1e-6


def test_samples_alone_in_their_class_count_as_zero_in_the_mean() -> None:
    loss = SupConLoss(0.1)(fixture_a()[0], torch.tensor([0, 0, 1, 2, 3, 3]), torch.Generator())

    assert abs(loss.item() - 0.17361791) < 1e-6


def test_equals_loop() -> None:
    labels = [0, 1, 0, 1, 2, 0]
    positives = [[j for j in range(6) if j != i and labels[j] == labels[i]] for i in range(6)]
    negatives = [[j for j in range(6) if labels[j] != labels[i]] for i in range(6)]
    loops = sup_con_loop(fixture_a()[0], fixture_a()[0], positives, negatives, 0.3)

    loss = SupConLoss(0.3)(fixture_a()[0], torch.tensor(labels), torch.Generator())

    assert loss.item() == pytest.approx(sum(outer for outer, _ in loops) / 6, abs=1e-9)
