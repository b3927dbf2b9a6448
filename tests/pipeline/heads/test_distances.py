import pytest
import torch

from pipeline.heads.distances import euclidean
from tests.head_fixtures import features_a


def test_equals_loop_and_has_the_gradient_of_the_distance() -> None:
    z = features_a().requires_grad_()

    distance = euclidean(z)
    (slope,) = torch.autograd.grad(distance[0, 1], z)

    expected = [[float((a - b).detach().norm()) for b in z] for a in z]
    assert [row.tolist() for row in distance] == [pytest.approx(row, abs=1e-7) for row in expected]
    torch.testing.assert_close(slope[0], ((z[0] - z[1]) / (z[0] - z[1]).norm()).detach())


def test_near_rows_far_from_the_origin_keep_their_distance_in_float32() -> None:
    z = torch.full((2, 8), 10.0)
    z[1, 0] += 1e-3

    assert float(euclidean(z)[0, 1]) == pytest.approx(float(z[1, 0] - z[0, 0]), rel=1e-3)


def test_equal_rows_have_distance_and_gradient_zero() -> None:
    z = torch.tensor([[0.3, 0.7], [0.3, 0.7], [1.0, 2.0]], requires_grad=True)

    distance = euclidean(z)
    (slope,) = torch.autograd.grad(distance[0, 1] + distance[2, 2], z)

    assert distance[0, 1] == 0
    assert slope.abs().max() == 0
