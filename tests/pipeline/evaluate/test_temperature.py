import pytest
import torch
from torch.nn import functional

from pipeline.evaluate.temperature import HIGHEST, LOWEST, fit_temperature, probabilities


def drawn(temperature: float, *, count: int = 4000) -> tuple[torch.Tensor, torch.Tensor]:
    """Logits that are `temperature` times those that the labels are drawn from."""
    generator = torch.Generator().manual_seed(0)
    true = 2 * torch.randn(count, 5, generator=generator)
    return true * temperature, torch.multinomial(true.softmax(dim=1), 1, generator=generator)[:, 0]


@pytest.mark.parametrize("temperature", [0.4, 1.0, 3.0])
def test_the_temperature_that_spoilt_the_logits_is_found(temperature: float) -> None:
    assert fit_temperature(*drawn(temperature)) == pytest.approx(temperature, rel=0.05)


def test_no_other_temperature_has_a_smaller_cross_entropy() -> None:
    logits, y = drawn(3.0, count=300)
    best = fit_temperature(logits, y)
    losses = [float(functional.cross_entropy(logits.double() / t, y)) for t in (0.99 * best, best, 1.01 * best)]

    assert losses[1] == min(losses)
    assert losses[1] < float(functional.cross_entropy(logits.double(), y))


def test_samples_that_are_all_right_or_all_wrong_give_a_finite_temperature() -> None:
    logits, y = torch.eye(3), torch.arange(3)

    assert fit_temperature(logits, y) == pytest.approx(LOWEST)
    assert fit_temperature(logits, (y + 1) % 3) == pytest.approx(HIGHEST)


def test_no_prediction_changes_and_none_leaves_probabilities_alone() -> None:
    logits, _ = drawn(3.0, count=50)

    assert probabilities(logits, 3.0).argmax(dim=1).equal(logits.argmax(dim=1))
    assert probabilities(logits, None).equal(logits.softmax(dim=1))
