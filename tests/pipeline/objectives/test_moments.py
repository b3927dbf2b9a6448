import pytest
import torch

from pipeline.objectives.moments import hierarchical_contrast
from tests.references import hierarchical_loop


@pytest.mark.parametrize("moments", [1, 2, 5, 8])
@pytest.mark.parametrize("alpha", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("soft", [None, 0.5])
def test_hierarchy_equals_loop_with_variable_lengths(moments: int, alpha: float, soft: float | None) -> None:
    generator = torch.Generator().manual_seed(moments)
    first, second = (torch.randn(4, moments, 3, generator=generator, dtype=torch.float64) for _ in range(2))
    lengths = torch.tensor([moments, max(1, moments - 1), 1, 0])
    mask = torch.arange(moments)[None] < lengths[:, None]
    expected = hierarchical_loop(first, second, mask, alpha, soft)

    actual = hierarchical_contrast(first, second, mask, alpha=alpha, soft=soft)

    assert float(actual) == pytest.approx(expected, abs=1e-9)


def test_padding_and_absent_samples_get_no_gradient() -> None:
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(3, 5, 4, generator=generator).requires_grad_()
    mask = torch.tensor([[True] * 5, [True] * 3 + [False] * 2, [False] * 5])

    hierarchical_contrast(first, first.detach() * 1.1, mask, alpha=0.5).backward()

    assert first.grad is not None
    assert first.grad.isfinite().all()
    assert first.grad[~mask].abs().max() == 0
