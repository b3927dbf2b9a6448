"""Every member of the union of objectives has the values and gradients of the CPU."""

import pytest
import torch

from pipeline.objectives.spec import ObjectiveConfig
from tests.contracts.objective_examples import DEFAULTS, VARIANTS, embeddings
from tests.contracts.test_objectives import inputs_of, name_of, total
from tests.gpu.on_device import on_device

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize("config", DEFAULTS + VARIANTS, ids=name_of)
def test_loss_and_gradients_are_those_of_the_cpu(config: ObjectiveConfig, device: torch.device) -> None:
    here = embeddings(config, absent=True)
    there = on_device(here, device)
    expected, actual = total(config, here), total(config, there)
    expected.backward()
    actual.backward()

    assert actual.device == device
    torch.testing.assert_close(actual.cpu(), expected, rtol=1e-6, atol=1e-6)  # memory rows are float32
    for name, tensor in inputs_of(here, config).items():
        gradient = inputs_of(there, config)[name].grad
        assert gradient is not None
        torch.testing.assert_close(gradient.cpu(), tensor.grad, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("config", DEFAULTS + VARIANTS, ids=name_of)
def test_autocast_does_not_lower_the_precision_of_a_loss(config: ObjectiveConfig, device: torch.device) -> None:
    found = on_device(embeddings(config, dtype=torch.float32), device)
    expected = total(config, found)
    with torch.autocast("cuda", dtype=torch.bfloat16):
        actual = total(config, found)

    torch.testing.assert_close(actual, expected, rtol=1e-6, atol=1e-6)
