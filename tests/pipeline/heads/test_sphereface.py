import math

import pytest
import torch
from torch.nn import functional

from pipeline.heads.spec import Target
from pipeline.heads.sphereface import SphereFace, annealing, psi, sphereface
from tests.contracts.head_examples import class_loss
from tests.head_fixtures import cosines_a, features_a, labels_a, supervised
from tests.references import cosine, fixture_w


def norms_a() -> torch.Tensor:
    return features_a().norm(dim=1)


@pytest.mark.parametrize(
    ("multiple", "blend", "expected"), [(4, 0.0, 2.55989177), (4, 5.0, 0.84446469), (1, 0.0, 0.60957965)]
)
def test_equals_published_values(multiple: int, blend: float, expected: float) -> None:
    logits = cosines_a() * norms_a()[:, None]

    loss = sphereface(logits, norms_a(), labels_a(), multiple=multiple, blend=blend)

    assert abs(float(loss) - expected) < 1e-6


def test_without_multiple_it_is_the_cross_entropy_of_projections() -> None:
    logits = cosines_a() * norms_a()[:, None]

    loss = sphereface(logits, norms_a(), labels_a(), multiple=1, blend=3.0)

    torch.testing.assert_close(loss, functional.cross_entropy(logits, labels_a()))


@pytest.mark.parametrize("multiple", [1, 2, 3, 4, 7])
def test_psi_equals_its_definition_is_continuous_and_falls(multiple: int) -> None:
    theta = torch.linspace(0, math.pi, 4001, dtype=torch.float64)

    values = psi(theta.cos(), multiple)

    assert float(values[0]) == pytest.approx(1)
    assert float(values[-1]) == pytest.approx(1 - 2 * multiple)
    assert (values.diff() < 1e-9).all()
    assert values.diff().abs().max() < multiple * math.pi / 4000 + 1e-9
    for angle, value in zip(theta[1:-1:97].tolist(), values[1:-1:97].tolist(), strict=True):
        k = math.floor(multiple * angle / math.pi)
        assert value == pytest.approx((-1) ** k * math.cos(multiple * angle) - 2 * k, abs=1e-9)


def test_gradient_of_psi_is_finite_at_both_ends() -> None:
    ends = torch.tensor([1.0, -1.0], dtype=torch.float64, requires_grad=True)

    psi(ends, 4).sum().backward()

    assert ends.grad is not None
    assert ends.grad.tolist() == pytest.approx([16, 16])


def test_annealing_follows_the_published_schedule() -> None:
    values = [annealing(step, base=1000.0, decay=0.12, power=1.0, least=5.0) for step in (0, 1, 1658, 1659, 10**6)]

    assert values == pytest.approx([1000.0, 892.8571428571428, 1000 / (1 + 0.12 * 1658), 5.0, 5.0])
    assert values[2] > 5


def test_head_equals_loop_at_a_step() -> None:
    head = SphereFace(multiple=3).build(Target(4, 3), class_loss)
    weights, labels = fixture_w()
    head.classifier.weight.data = weights  # type: ignore[union-attr]
    blend = 1000 / (1 + 0.12 * 1000)
    expected = 0.0
    for x, y in zip(features_a(), labels, strict=True):
        norm, scores = float(x.norm()), []
        for c, w in enumerate(weights):
            theta = math.acos(cosine(x, w))
            k = min(2, math.floor(3 * theta / math.pi))
            margin = (-1) ** k * math.cos(3 * theta) - 2 * k
            target = (blend * math.cos(theta) + margin) / (1 + blend)
            scores.append(math.exp(norm * (target if c == y else math.cos(theta))))
        expected -= math.log(scores[y] / sum(scores)) / 6

    given = supervised(head.classifier(features_a()), features_a(), labels=labels_a(), step=1000)

    assert float(head.loss(given).terms["sphereface"]) == pytest.approx(expected, abs=1e-9)
