import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.objectives.block_spread import block_spread
from tests.references import block_spread_loop, fixture_a, fixture_w

CROSS_ENTROPY_OF_COSINES = 0.705539810523547


def test_equals_published_values() -> None:
    first, _ = fixture_a()
    labels = torch.tensor(fixture_w()[1])

    three = block_spread(first, labels, num_classes=3, divide=True)
    five = block_spread(first, labels, num_classes=5, divide=True)

    assert abs(float(three) - 0.34826843) < 1e-6
    assert abs(float(five) - 0.20896106) < 1e-6
    assert abs(float(0.5 * three) + 0.5 * CROSS_ENTROPY_OF_COSINES - 0.52690412) < 1e-6
    torch.testing.assert_close(block_spread(first, labels, num_classes=5), 3 * three)


def test_centres_on_a_simplex_are_the_minimum() -> None:
    angles = torch.tensor([0.0, 2 * math.pi / 3, 4 * math.pi / 3], dtype=torch.float64)
    simplex = torch.stack([angles.cos(), angles.sin()], dim=1)
    orthogonal = torch.eye(3, dtype=torch.float64)

    found = [float(block_spread(z, torch.arange(3), num_classes=3, divide=True)) for z in (simplex, orthogonal)]

    assert found == pytest.approx([0.34435625, 0.36620410], abs=1e-6)


@settings(max_examples=30, deadline=None)
@given(labels=st.lists(st.integers(-1, 4), min_size=6, max_size=6), scale=st.floats(0.1, 5.0))
def test_equals_loop_whatever_the_numbers_of_the_classes_and_the_scale_of_z(labels: list[int], scale: float) -> None:
    first, _ = fixture_a()
    expected = block_spread_loop(first, labels, scale) if max(labels) >= 0 else 0.0
    y = torch.tensor(labels)

    actual = block_spread(3.0 * first, y, num_classes=5, scale=scale)
    renamed = block_spread(first, torch.where(y < 0, y, 4 - y), num_classes=5, scale=scale)

    assert float(actual) == pytest.approx(expected, abs=1e-9)
    assert float(renamed) == pytest.approx(expected, abs=1e-9)


def test_gradient_flows_through_the_means_and_one_class_alone_gives_zero() -> None:
    first = fixture_a()[0].requires_grad_()

    spread = torch.autograd.grad(block_spread(first, torch.tensor([0, 0, 1, 1, -1, 2]), num_classes=3), first)[0]
    alone = block_spread(first, torch.tensor([1] * 6), num_classes=3)
    nothing = torch.autograd.grad(alone, first)[0]

    assert (spread.abs().sum(dim=1) > 0).tolist() == [True, True, True, True, False, True]
    assert alone.item() == 0.0
    assert nothing.abs().max() == 0
