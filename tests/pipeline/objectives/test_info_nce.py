import torch

from pipeline.objectives.info_nce import info_nce, masked_mean
from tests.references import fixture_a


def test_one_direction_equals_published_value() -> None:
    first, second = fixture_a()
    everyone = torch.ones(6, 6, dtype=torch.bool)

    losses = info_nce(first, second, torch.arange(6), allowed=everyone, temperature=0.4)

    assert abs(float(losses.mean()) - 1.41095532) < 1e-6


def test_similarities_stay_float32_under_autocast() -> None:
    first, second = (view.float() for view in fixture_a())
    everyone = torch.ones(6, 6, dtype=torch.bool)
    expected = info_nce(first, second, torch.arange(6), allowed=everyone, temperature=0.4)

    actual = info_nce(first.bfloat16(), second.bfloat16(), torch.arange(6), allowed=everyone, temperature=0.4)

    assert actual.dtype == torch.float32
    torch.testing.assert_close(actual, expected, atol=0.05, rtol=0.05)


def test_mean_of_nothing_is_a_zero_with_a_graph() -> None:
    values = torch.ones(3, requires_grad=True)

    result = masked_mean(values, torch.zeros(3, dtype=torch.bool))
    result.backward()

    assert float(result) == 0.0
    assert values.grad is not None
    assert values.grad.abs().sum() == 0
