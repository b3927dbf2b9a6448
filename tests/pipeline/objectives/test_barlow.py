import pytest
import torch

from pipeline.objectives.barlow import redundancy
from tests.references import fixture_a


def test_loss_equals_published_value() -> None:
    loss = redundancy(*fixture_a(), torch.ones(6, dtype=torch.bool), scale=5e-3)

    assert abs(float(loss) - 3.45383144) < 1e-6


def test_correlations_are_those_of_the_present_samples() -> None:
    here, (first, second) = [0, 1, 3, 5], fixture_a()
    present = torch.zeros(6, dtype=torch.bool)
    present[here] = True
    expected = 0.0
    for j in range(4):
        for k in range(4):
            a, b = first[here, j], second[here, k]
            spreads = (a.var(unbiased=False) + 1e-5).sqrt() * (b.var(unbiased=False) + 1e-5).sqrt()
            correlation = float(((a - a.mean()) * (b - b.mean())).mean() / spreads)
            expected += (1 - correlation) ** 2 if j == k else 5e-3 * correlation**2

    assert float(redundancy(first, second, present, scale=5e-3)) == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize("present", [[], [3]])
def test_less_than_two_samples_have_no_correlation(present: list[int]) -> None:
    first, second = (view.requires_grad_() for view in fixture_a())
    mask = torch.zeros(6, dtype=torch.bool)
    mask[present] = True

    loss = redundancy(first, second, mask, scale=5e-3)
    loss.backward()

    assert loss.item() == 0.0
    assert first.grad is not None
    assert first.grad.abs().max() == 0
