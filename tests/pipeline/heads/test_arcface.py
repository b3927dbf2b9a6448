import math

import pytest
import torch

from pipeline.heads.arcface import ArcFace, arc_margin, arcface
from pipeline.heads.cosface import cosface
from pipeline.heads.cosine_classes import CosineClasses
from pipeline.heads.spec import Target
from tests.contracts.head_examples import class_loss
from tests.head_fixtures import cosines_a, features_a, labels_a, supervised
from tests.references import cosine, fixture_w


def sub_center_weights() -> torch.Tensor:
    """(3, 2, 4)."""
    c, k, j = torch.meshgrid(*[torch.arange(n, dtype=torch.float64) for n in (3, 2, 4)], indexing="ij")
    return torch.cos(0.5 + 1.1 * c + 0.9 * j + 0.07 * c * j + 1.7 * k)


@pytest.mark.parametrize(("margin", "expected"), [(0.5, 10.53569271), (math.radians(28.6), 10.51845382)])
def test_equals_published_values(margin: float, expected: float) -> None:
    assert abs(float(arcface(cosines_a(), labels_a(), scale=64, margin=margin)) - expected) < 1e-6


def test_sub_centers_equal_published_value() -> None:
    head = ArcFace(sub_centers=2).build(Target(4, 3), class_loss)
    head.classifier.weight.data = sub_center_weights().flatten(0, 1)  # type: ignore[union-attr]

    terms = head.loss(supervised(head.classifier(features_a()), labels=labels_a())).terms

    assert abs(terms["arcface"].item() - 17.03185687) < 1e-6


def test_one_sub_center_is_plain_and_no_margin_is_cosface() -> None:
    weights, _ = fixture_w()
    classes = CosineClasses(4, 3, scale=1.0)
    classes.weight.data = weights

    torch.testing.assert_close(classes(features_a()), cosines_a())
    torch.testing.assert_close(
        arcface(cosines_a(), labels_a(), scale=64, margin=0), cosface(cosines_a(), labels_a(), scale=64, margin=0)
    )


def test_equals_loop() -> None:
    weights, labels = fixture_w()
    expected = 0.0
    for x, y in zip(features_a(), labels, strict=True):
        scores = [math.exp(8 * math.cos(math.acos(cosine(x, w)) + 0.3 * (c == y))) for c, w in enumerate(weights)]
        expected -= math.log(scores[y] / sum(scores)) / 6

    assert float(arcface(cosines_a(), labels_a(), scale=8, margin=0.3)) == pytest.approx(expected, abs=1e-6)


def test_beyond_pi_the_target_keeps_falling() -> None:
    degrees = torch.linspace(1, 179, 179, dtype=torch.float64)

    moved = arc_margin(torch.cos(torch.deg2rad(degrees)), 0.5)

    assert float(moved[169]) == pytest.approx(-1.2245205223, abs=1e-9)
    assert (moved.diff() < 0).all()


def test_gradient_is_the_derivative_of_the_formula() -> None:
    """Not the straight-through one, whose slope would be 1."""
    cosine_y = torch.tensor([0.3, 0.9], dtype=torch.float64, requires_grad=True)

    arc_margin(cosine_y, 0.5).sum().backward()

    theta = cosine_y.detach().arccos()
    assert cosine_y.grad is not None
    torch.testing.assert_close(cosine_y.grad, torch.sin(theta + 0.5) / torch.sin(theta))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_gradient_is_finite_on_the_class_weight_and_opposite_to_it(dtype: torch.dtype) -> None:
    cosines = torch.tensor([[1.0, 0.2], [-1.0, 0.2]], dtype=dtype, requires_grad=True)

    arcface(cosines, torch.tensor([0, 0]), scale=64, margin=0.5).backward()

    assert cosines.grad is not None
    assert cosines.grad.isfinite().all()
