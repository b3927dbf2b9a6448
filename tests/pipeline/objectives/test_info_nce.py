import torch

from pipeline.objectives.info_nce import contrast, info_nce, masked_mean
from pipeline.objectives.repel import Repel
from tests.references import fixture_a


def test_one_direction_equals_published_value() -> None:
    first, second = fixture_a()

    losses = info_nce(first, second, torch.arange(6), repel=Repel(), temperature=0.4)

    assert abs(float(losses.mean()) - 1.41095532) < 1e-6


def test_similarities_stay_float32_under_autocast() -> None:
    first, second = (view.float().requires_grad_() for view in fixture_a())
    expected = info_nce(first, second, torch.arange(6), repel=Repel(), temperature=0.4)
    gradient = torch.autograd.grad(expected.mean(), first)[0]

    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = info_nce(first, second, torch.arange(6), repel=Repel(), temperature=0.4)
        found = torch.autograd.grad(actual.mean(), first)[0]
    rounded = info_nce(first.bfloat16(), second.bfloat16(), torch.arange(6), repel=Repel(), temperature=0.4)

    assert torch.equal(actual, expected)
    assert torch.equal(found, gradient)
    assert rounded.dtype == torch.float32
    torch.testing.assert_close(rounded, expected, atol=0.05, rtol=0.05)


def test_anchor_nobody_repels_has_loss_and_gradient_zero() -> None:
    first, second = (view.requires_grad_() for view in fixture_a())
    allowed = torch.ones(6, 6, dtype=torch.bool)
    allowed[2] = False

    losses = info_nce(first, second, torch.arange(6), repel=Repel(allowed=allowed), temperature=0.4)
    gradient = torch.autograd.grad(losses.sum(), first)[0]

    assert losses[2] == 0
    assert gradient[2].abs().max() == 0
    assert gradient.isfinite().all()


def test_contrast_is_exact_far_from_the_middle() -> None:
    attracted = torch.tensor([40.0, 0.0, -100.0], dtype=torch.float64)

    losses = contrast(attracted, torch.zeros(3, dtype=torch.float64))

    expected = torch.tensor([4.248354255291589e-18, 0.6931471805599453, 100.0], dtype=torch.float64)
    torch.testing.assert_close(losses, expected, rtol=1e-12, atol=0)


def test_mean_of_nothing_is_a_zero_with_a_graph() -> None:
    values = torch.ones(3, requires_grad=True)

    result = masked_mean(values, torch.zeros(3, dtype=torch.bool))
    result.backward()

    assert result.item() == 0.0
    assert values.grad is not None
    assert values.grad.abs().sum() == 0
