import math

import pytest
import torch
from torch.nn import functional

from pipeline.heads.cosface import CosFace, cosface
from pipeline.heads.spec import Target
from tests.contracts.head_examples import class_loss
from tests.head_fixtures import cosines_a, features_a, labels_a, supervised
from tests.references import cosine, fixture_w


@pytest.mark.parametrize(
    ("scale", "margin", "expected"),
    [(1, 0, 0.70553981), (64, 0.35, 8.74711551), (30, 0.35, 4.17744533), (64, 0.4, 9.64719493)],
)
def test_equals_published_values(scale: float, margin: float, expected: float) -> None:
    assert abs(float(cosface(cosines_a(), labels_a(), scale=scale, margin=margin)) - expected) < 1e-6


def test_without_margin_it_is_the_cross_entropy_of_scaled_cosines() -> None:
    expected = functional.cross_entropy(30 * cosines_a(), labels_a())

    torch.testing.assert_close(cosface(cosines_a(), labels_a(), scale=30, margin=0), expected)


def test_head_equals_loop() -> None:
    head = CosFace(scale=10, margin=0.2).build(Target(4, 3), class_loss)
    weights, labels = fixture_w()
    head.classifier.weight.data = weights  # type: ignore[union-attr]
    expected = 0.0
    for x, y in zip(features_a(), labels, strict=True):
        scores = [math.exp(10 * (cosine(x, weights[c]) - 0.2 * (c == y))) for c in range(3)]
        expected -= math.log(scores[y] / sum(scores)) / 6

    terms = head.loss(supervised(head.classifier(features_a()), labels=labels_a())).terms

    assert terms["cosface"].item() == pytest.approx(expected, abs=1e-9)


def test_gradient_is_orthogonal_to_the_features_and_falls_with_their_norm() -> None:
    head = CosFace(scale=30, margin=0).build(Target(4, 3), class_loss)
    head.classifier.weight.data = fixture_w()[0]  # type: ignore[union-attr]

    slopes = []
    for factor in (1.0, 3.0):
        x = (factor * features_a()).requires_grad_()
        head.loss(supervised(head.classifier(x), labels=labels_a())).terms["cosface"].backward()
        assert x.grad is not None
        slopes.append(x.grad)

    assert (slopes[0] * features_a()).sum(dim=1).abs().max() < 1e-12
    torch.testing.assert_close(slopes[1], slopes[0] / 3)
