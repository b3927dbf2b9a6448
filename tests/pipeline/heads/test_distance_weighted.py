import math

import pytest
import torch
from torch.nn import functional

from pipeline.heads.distance_weighted import DistanceWeightedLoss, draw_negatives, inverse_density, margin_loss
from pipeline.heads.distances import euclidean
from pipeline.heads.joint import class_pairs
from tests.head_fixtures import features_a

TRIPLETS = torch.tensor([(0, 1, 5), (1, 0, 2), (3, 2, 4), (2, 3, 1)])


@pytest.mark.parametrize(
    ("dim", "expected", "tolerance"),
    [(4, [1.418564, 0.143841, -0.296151], 1e-6), (128, [91.3702, 17.9801, 0.1941], 1e-4)],
)
def test_weights_equal_published_values(dim: int, expected: list[float], tolerance: float) -> None:
    found = inverse_density(torch.tensor([0.5, 1.0, 1.35], dtype=torch.float64), dim)

    assert found.tolist() == pytest.approx(expected, abs=tolerance)
    assert float(inverse_density(torch.tensor(0.1, dtype=torch.float64), dim)) == pytest.approx(
        expected[0], abs=tolerance
    )


@pytest.mark.parametrize(("boundary", "expected"), [(1.2, 0.49726437), (0.9, 0.12862603)])
def test_margin_loss_equals_published_values(boundary: float, expected: float) -> None:
    distance = euclidean(functional.normalize(features_a(), dim=1))
    a, p, n = TRIPLETS.T

    loss = margin_loss(distance[a, p], distance[a, n], torch.full((4,), boundary), margin=0.2)

    assert abs(float(loss) - expected) < 1e-6


def test_loss_equals_loop_over_drawn_triplets() -> None:
    labels = torch.tensor([0, 1, 0, 1, 2, 0])
    distance = euclidean(functional.normalize(features_a(), dim=1))
    drawn = draw_negatives(distance, class_pairs(labels)[1], 4, torch.Generator().manual_seed(4))
    terms = []
    for i in range(6):
        for j in range(6):
            if i != j and labels[i] == labels[j]:
                n = int(drawn[i, j])
                assert labels[n] != labels[i]
                terms += [float(distance[i, j]) - 1.1 + 0.2, 1.1 - float(distance[i, n]) + 0.2]
    active = [term for term in terms if term > 0]

    loss = DistanceWeightedLoss(3, margin=0.2, boundary=1.1)(features_a(), labels, torch.Generator().manual_seed(4))

    assert loss.item() == pytest.approx(sum(active) / len(active), abs=1e-6)


def test_frequencies_follow_the_inverse_density() -> None:
    distance = torch.tensor([0.7, 0.9, 1.1, 1.3, 1.5, 0.4]).repeat(6, 1)
    negatives = torch.tensor([True, True, True, True, True, False]).repeat(6, 1)
    weights = [1 / (d ** (5 - 2) * (1 - d**2 / 4) ** ((5 - 3) / 2)) for d in (0.7, 0.9, 1.1, 1.3)]
    generator, counts = torch.Generator().manual_seed(0), torch.zeros(6)

    for _ in range(400):
        counts += torch.bincount(draw_negatives(distance, negatives, 5, generator).flatten(), minlength=6)

    assert counts[4:].tolist() == [0, 0]  # too far, and no negative
    assert (counts[:4] / counts.sum()).tolist() == pytest.approx([w / sum(weights) for w in weights], abs=0.02)


def test_one_near_pair_does_not_take_the_weights_of_other_rows() -> None:
    """Weights relative to the largest of the batch would all be 0 in the other rows, also in float64."""
    generator = torch.Generator().manual_seed(0)
    z = functional.normalize(torch.randn(64, 4096, generator=generator), dim=1)
    z[1] = functional.normalize(z[0] + 1e-4, dim=0)
    labels = torch.arange(64) // 4
    labels[1] = 15
    negatives = class_pairs(labels)[1]
    distance = euclidean(z)

    drawn = draw_negatives(distance, negatives, 4096, generator)

    assert negatives.gather(1, drawn).all()
    near = negatives & (distance < 1.4)
    assert near.any(dim=1).all()
    assert near.gather(1, drawn).all()


def test_a_row_whose_negatives_are_all_far_draws_among_them_alike() -> None:
    distance = torch.tensor([[0.0, 0.5, 1.9, 1.45]])
    negatives = torch.tensor([[False, False, True, True]])
    generator = torch.Generator().manual_seed(0)

    found = [int(draw_negatives(distance, negatives, 64, generator)[0, 0]) for _ in range(400)]

    assert set(found) == {2, 3}
    assert found.count(2) / 400 == pytest.approx(0.5, abs=0.1)


def test_boundary_is_learned_for_the_classes_of_the_anchors() -> None:
    loss = DistanceWeightedLoss(4, margin=0.2, boundary=1.2)

    loss(features_a(), torch.tensor([0, 0, 1, 1, 2, 3]), torch.Generator().manual_seed(0)).backward()

    assert loss.boundary.grad is not None
    assert (loss.boundary.grad[2:] == 0).all()
    assert math.isclose(loss.boundary[0].item(), 1.2, rel_tol=1e-6)


def test_one_class_alone_is_a_zero_with_a_graph() -> None:
    loss, features = DistanceWeightedLoss(2, margin=0.2, boundary=1.2), features_a().requires_grad_()

    found = loss(features, torch.ones(6, dtype=torch.int64), torch.Generator())
    (slope,) = torch.autograd.grad(found, features)

    assert found.item() == 0
    assert slope.abs().max() == 0
