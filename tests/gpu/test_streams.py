"""Every encoder and transform of every kind of stream does on the GPU what it does on the CPU."""

from pathlib import Path

import pytest
import torch

from modalities.draws import Draws
from modalities.spec import Config
from tests.contracts.stream_examples import ENCODERS, TRANSFORMS, batch_of, draws_for, encoder_of, present_of
from tests.gpu.on_device import on_device

pytestmark = pytest.mark.gpu


@pytest.mark.parametrize(("kind", "config"), ENCODERS)
def test_features_are_those_of_the_cpu(
    kind: str, config: type[Config], folders: dict[str, Path], device: torch.device
) -> None:
    encoder, signal = encoder_of(kind, config, folders).eval(), present_of(kind, folders)
    expected = encoder(signal)
    actual = encoder.to(device)(on_device(signal, device))

    assert actual.pooled.device == device
    assert torch.equal(actual.mask.cpu(), expected.mask)
    torch.testing.assert_close(actual.pooled.cpu(), expected.pooled, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(("kind", "config"), ENCODERS)
def test_bfloat16_autocast_gives_nearly_the_same_features(
    kind: str, config: type[Config], folders: dict[str, Path], device: torch.device
) -> None:
    encoder, signal = encoder_of(kind, config, folders).eval().to(device), on_device(present_of(kind, folders), device)
    expected = encoder(signal).pooled
    with torch.autocast("cuda", dtype=torch.bfloat16):
        actual = encoder(signal).pooled.float()

    assert (actual - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize(("kind", "config", "document"), TRANSFORMS)
def test_views_are_those_of_the_cpu(
    kind: str, config: type[Config], document: dict[str, object], folders: dict[str, Path], device: torch.device
) -> None:
    transform, signal = config(**document), batch_of(kind, folders)
    expected = transform(signal, draws_for(signal))  # type: ignore[operator]
    actual = transform(on_device(signal, device), Draws(draws_for(signal).keys.to(device)))  # type: ignore[operator]

    assert actual.values.device == device
    if expected.mask is not None:
        assert torch.equal(actual.mask.cpu(), expected.mask)
    torch.testing.assert_close(actual.values.cpu(), expected.values, rtol=1e-3, atol=1e-3)
