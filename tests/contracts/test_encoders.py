"""What every encoder of every kind of stream gets for free by being in its union."""

from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save

from modalities.spec import Config, Encoded, PatchEncoder, Signal
from tests.contracts.stream_examples import ENCODERS, encoder_of, present_of


@pytest.mark.parametrize(("kind", "config"), ENCODERS)
def test_features_have_the_promised_shapes(kind: str, config: type[Config], folders: dict[str, Path]) -> None:
    encoder, signal = encoder_of(kind, config, folders), present_of(kind, folders)
    encoded = encoder(signal)
    count, positions, width = encoded.sequence.shape

    assert isinstance(encoded, Encoded)
    assert (count, width) == (len(signal), encoder.width)
    assert encoded.pooled.shape == (count, width)
    assert encoded.mask.shape == (count, positions)
    assert encoded.mask.dtype == torch.bool
    assert encoded.pooled.isfinite().all()
    torch.testing.assert_close(encoder(signal).pooled, encoded.pooled, rtol=0, atol=0)  # no dropout unless asked for


@pytest.mark.parametrize(("kind", "config"), ENCODERS)
def test_features_ignore_masked_values_and_the_other_samples(
    kind: str, config: type[Config], folders: dict[str, Path]
) -> None:
    encoder, signal = encoder_of(kind, config, folders).eval(), present_of(kind, folders)
    expected = encoder(signal)
    if signal.mask is not None:
        dirty = Signal(
            torch.where(signal.mask, signal.values, torch.full_like(signal.values, 7)), signal.mask, signal.present
        )

        torch.testing.assert_close(encoder(dirty).pooled, expected.pooled, rtol=1e-5, atol=1e-5)
    alone = encoder(signal.select(torch.tensor([3])))

    torch.testing.assert_close(alone.pooled[0], expected.pooled[3], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(alone.sequence[0], expected.sequence[3], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("kind", "config"), ENCODERS)
def test_weights_survive_safetensors(kind: str, config: type[Config], folders: dict[str, Path]) -> None:
    signal = present_of(kind, folders)
    source, target = encoder_of(kind, config, folders), encoder_of(kind, config, folders, seed=1)
    with torch.no_grad():
        for parameter in source.parameters():
            parameter.add_(0.01)
    target.load_state_dict(load(save(source.state_dict())), strict=True)

    torch.testing.assert_close(target(signal).pooled, source(signal).pooled, rtol=0, atol=0)


@pytest.mark.parametrize(("kind", "config"), ENCODERS)
def test_gradients_reach_every_trainable_parameter(kind: str, config: type[Config], folders: dict[str, Path]) -> None:
    encoder = encoder_of(kind, config, folders)
    pooled = encoder(present_of(kind, folders)).pooled
    (pooled * torch.randn(pooled.shape, generator=torch.Generator().manual_seed(0))).sum().backward()
    idle = [
        n for n, p in encoder.named_parameters() if p.requires_grad and (p.grad is None or not p.grad.abs().sum() > 0)
    ]

    assert idle == []


@pytest.mark.parametrize(("kind", "config"), ENCODERS)
def test_blocks_hold_every_parameter_once(kind: str, config: type[Config], folders: dict[str, Path]) -> None:
    encoder = encoder_of(kind, config, folders)
    held = [id(parameter) for block in encoder.blocks() for parameter in block.parameters()]  # type: ignore[operator]

    assert len(held) == len(set(held))
    assert set(held) == {id(parameter) for parameter in encoder.parameters()}


@pytest.mark.parametrize(("kind", "config"), ENCODERS)
def test_bfloat16_autocast_gives_nearly_the_same_features(
    kind: str, config: type[Config], folders: dict[str, Path]
) -> None:
    encoder, signal = encoder_of(kind, config, folders).eval(), present_of(kind, folders)
    expected = encoder(signal).pooled
    with torch.autocast("cpu", dtype=torch.bfloat16):
        actual = encoder(signal).pooled.float()

    assert actual.isfinite().all()
    assert (actual - expected).norm() < 0.05 * expected.norm()


@pytest.mark.parametrize(("kind", "config"), ENCODERS)
def test_hidden_positions_have_features_that_know_nothing_of_their_values(
    kind: str, config: type[Config], folders: dict[str, Path]
) -> None:
    encoder, signal = encoder_of(kind, config, folders).eval(), present_of(kind, folders)
    if not isinstance(encoder, PatchEncoder):
        pytest.skip("declares no patches")
    patches = encoder.patching.patches(signal)
    real = patches.known.any(dim=2)
    there = encoder(signal).mask
    hidden = real & (torch.arange(real.shape[1]) % 3 == 1)
    view = encoder.patching.hide(signal, hidden)
    lying = torch.where(view.mask, signal.values, signal.values + 7)  # only what is hidden or unobserved
    other = encoder.patching.hide(Signal(lying, signal.mask, signal.present), hidden)

    assert patches.values.shape == (*real.shape, encoder.patching.width)
    assert real.any(dim=1).all()
    assert not (real & ~there).any()
    assert there.equal(encoder(view).mask)
    assert encoder(view).sequence[hidden].abs().amax(dim=1).min() > 0
    torch.testing.assert_close(encoder(other).sequence, encoder(view).sequence, rtol=0, atol=0)
    assert not encoder.patching.patches(view).known[hidden].any()
    assert encoder.patching.patches(view).values[~hidden].equal(patches.values[~hidden])
