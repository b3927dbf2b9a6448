import math

import pytest
import torch

from pipeline.heads.spec import Target
from pipeline.heads.weighted_triplet import WeightedTriplet, weighted_triplet
from tests.contracts.head_examples import class_loss
from tests.head_fixtures import features_a, labels_a, supervised

UNEVEN = [0, 1, 0, 0, 2, 1]


def test_equals_published_value() -> None:
    assert abs(weighted_triplet(features_a(), labels_a()).item() - 0.36752605) < 1e-6


def test_equals_loop() -> None:
    x, losses = features_a(), []
    for i in range(6):
        distance = [float((x[i] - x[j]).norm()) for j in range(6)]
        positive = [d for j, d in enumerate(distance) if j != i and UNEVEN[j] == UNEVEN[i]]
        negative = [d for j, d in enumerate(distance) if UNEVEN[j] != UNEVEN[i]]
        if positive:
            pull = sum(d * math.exp(d) for d in positive) / sum(math.exp(d) for d in positive)
            push = sum(d * math.exp(-d) for d in negative) / sum(math.exp(-d) for d in negative)
            losses.append(math.log1p(math.exp(pull - push)))

    assert weighted_triplet(x, torch.tensor(UNEVEN)).item() == pytest.approx(sum(losses) / len(losses), abs=1e-9)


def test_weights_take_part_in_the_gradient() -> None:
    assert torch.autograd.gradcheck(lambda x: weighted_triplet(x, labels_a()), features_a().requires_grad_())


def test_prediction_normalises_with_what_the_criterion_observed() -> None:
    head = WeightedTriplet().build(Target(4, 3), class_loss)
    features = features_a().float() + 5

    for _ in range(200):
        head.loss(supervised(head.classifier(features), features, labels=labels_a()))
    head.classifier.eval()

    neck = head.classifier.neck
    torch.testing.assert_close(neck.running_mean, features.mean(dim=0))  # type: ignore[union-attr]
    expected = (features - features.mean(dim=0)) / (features.var(dim=0) + 1e-5).sqrt()
    torch.testing.assert_close(head.classifier(features), expected @ head.classifier.classes.weight.T)  # type: ignore[union-attr]
    assert "running_mean" not in str(list(head.criterion.state_dict()))
