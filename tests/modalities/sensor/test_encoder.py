"""Encoders: padding, gaps and company in the batch change nothing; missing is not average."""

import pytest
import torch
from pydantic import TypeAdapter, ValidationError
from torch import nn

from modalities.sensor.encoder import AnySensorEncoder
from modalities.sensor.layers import MaskedGroupNorm, PoolHead, generalized_mean, pool_time, segment_masks
from modalities.sensor.patch_transformer import PatchTransformer
from modalities.sensor.resnet import ResNet
from modalities.sensor.spectrum import Spectrum
from modalities.spec import Config, Signal
from tests.modalities.sensor.sensor_batches import SCHEMA, STATISTICS, batch

CONFIGS: list[Config] = [
    ResNet(widths=(16, 24), strides=(2, 2), blocks_per_stage=2, groups=4, features=12),
    ResNet(widths=(16, 16), strides=(4, 3), groups=4, features=12, derived=("magnitude", "difference")),
    ResNet(widths=(16, 16), strides=(2, 2), groups=4, features=12, pools=("mean", "std"), segments=3),
    ResNet(widths=(16, 16), strides=(2, 2), groups=4, features=12, pools=("gem", "max"), segments=2),
    PatchTransformer(patch=8, width=16, depth=2, heads=2, features=12),
    Spectrum(network=ResNet(widths=(16, 16), strides=(2, 2), groups=4, features=12)),
    Spectrum(network=PatchTransformer(patch=4, width=16, depth=2, heads=2, features=12)),
    PatchTransformer(patch=5, width=16, depth=1, heads=2, features=12, derived=("magnitude", "difference")),
]
every = pytest.mark.parametrize("config", CONFIGS, ids=lambda c: c.kind)


def built(config: Config) -> nn.Module:
    torch.manual_seed(0)
    return config.build(SCHEMA, STATISTICS).eval()  # type: ignore[attr-defined]


@every
def test_shapes(config: Config) -> None:
    encoder = built(config)
    encoded = encoder(batch(gaps=True))

    assert encoded.pooled.shape == (5, encoder.width) == (5, 12)
    assert encoded.sequence.shape == (5, encoded.mask.shape[1], 12)
    assert encoded.mask.any(dim=1).all()
    assert encoded.sequence[~encoded.mask].eq(0).all()


@every
def test_padding_changes_nothing(config: Config) -> None:
    encoder = built(config)
    plain = encoder(batch(gaps=True))
    padded = encoder(batch(schema=SCHEMA.model_copy(update={"max_steps": 101}), gaps=True))

    torch.testing.assert_close(padded.pooled, plain.pooled, atol=1e-5, rtol=1e-5)
    assert padded.mask.sum(dim=1).equal(plain.mask.sum(dim=1))


@every
def test_full_windows_take_the_fast_path_to_the_same_result(config: Config) -> None:
    encoder = built(config)
    full = batch().select(torch.tensor([0, 0]))
    bare = Signal(full.values, None, full.present)
    with_company = encoder(batch().select(torch.tensor([0, 3]))).pooled[0]

    assert encoder(bare).pooled.equal(encoder(full).pooled)
    torch.testing.assert_close(encoder(bare).pooled[0], with_company, atol=1e-5, rtol=1e-5)


@every
def test_a_missing_reading_differs_from_an_average_one(config: Config) -> None:
    encoder, signal = built(config), batch().select(torch.tensor([0]))
    values, mask = signal.values.clone(), signal.mask.clone()  # type: ignore[union-attr]
    values[:, 1] = STATISTICS["mean"][1]
    mask[:, 1] = False
    average = encoder(Signal(values, signal.mask, signal.present)).pooled
    missing = encoder(Signal(values * mask, mask, signal.present)).pooled

    assert (average - missing).abs().max() > 1e-3


@every
def test_unobserved_values_are_never_read(config: Config) -> None:
    encoder, signal = built(config), batch(gaps=True)
    poisoned = torch.where(signal.mask, signal.values, torch.full_like(signal.values, 1e6))  # type: ignore[arg-type]

    assert encoder(Signal(poisoned, signal.mask, signal.present)).pooled.equal(encoder(signal).pooled)


@every
def test_a_sample_without_any_reading_is_finite_with_finite_gradients(config: Config) -> None:
    encoder, signal = built(config), batch()
    mask = signal.mask.clone()  # type: ignore[union-attr]
    mask[0] = False
    encoder(Signal(signal.values, mask, signal.present)).pooled.square().sum().backward()

    assert all(p.grad is not None and p.grad.isfinite().all() for p in encoder.parameters())


@every
def test_blocks_hold_every_parameter_once_in_depth_order(config: Config) -> None:
    encoder = built(config)
    blocks = encoder.blocks()  # type: ignore[operator]
    listed = [p for block in blocks for p in block.parameters()]

    assert {id(p) for p in listed} == {id(p) for p in encoder.parameters()}
    assert len(listed) == len({id(p) for p in listed})
    assert len(blocks) >= 3


@every
def test_statistics_travel_with_the_weights_and_set_the_units(config: Config) -> None:
    encoder, signal = built(config), batch()
    other = config.build(SCHEMA, {"mean": [0.0] * 6, "std": [1.0] * 6}).eval()  # type: ignore[attr-defined]
    other.load_state_dict(encoder.state_dict())

    assert other(signal).pooled.equal(encoder(signal).pooled)


@every
def test_config_survives_json(config: Config) -> None:
    adapter = TypeAdapter(AnySensorEncoder)

    assert adapter.validate_json(adapter.dump_json(config)) == config  # type: ignore[arg-type]


def test_masked_group_norm_is_torch_group_norm_on_the_real_part() -> None:
    norm, x = MaskedGroupNorm(2, 4), torch.randn(1, 4, 9, generator=torch.Generator().manual_seed(0))
    mask = (torch.arange(9) < 6)[None, None]
    nn.init.normal_(norm.weight)
    nn.init.normal_(norm.bias)
    expected = nn.functional.group_norm(x[:, :, :6], 2, norm.weight[:, 0], norm.bias[:, 0])

    torch.testing.assert_close(norm(x * mask, mask)[:, :, :6], expected, atol=1e-5, rtol=1e-5)
    assert norm(x * mask, mask)[:, :, 6:].eq(0).all()


def test_segments_are_equal_parts_of_the_observed_length() -> None:
    mask = torch.arange(8) < torch.tensor([[6], [8], [1]])
    parts = torch.stack(segment_masks(mask, 2))

    assert parts.sum(dim=2).tolist() == [[3, 4, 1], [3, 4, 0]]
    assert parts.any(dim=0).equal(mask)
    assert parts[1, 0].nonzero().flatten().tolist() == [3, 4, 5]


def test_several_segments_see_the_order_of_events() -> None:
    x = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(1, 6, dtype=torch.bool)
    torch.manual_seed(0)
    forgetful, orderly = (PoolHead(4, 6, pools=("mean",), segments=segments) for segments in (1, 2))

    torch.testing.assert_close(forgetful(x.flip(1), mask).pooled, forgetful(x, mask).pooled)
    assert not torch.allclose(orderly(x.flip(1), mask).pooled, orderly(x, mask).pooled, atol=1e-2)


def test_pools_by_hand() -> None:
    x, mask = torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([[True, True, False]])

    assert pool_time(x, mask, "mean").item() == 2.0
    assert pool_time(x, mask, "max").item() == 3.0
    assert pool_time(x, mask, "std").item() == pytest.approx(1.0, abs=1e-4)


@pytest.mark.parametrize(("exponent", "expected"), [(3.0, 14 ** (1 / 3)), (1.0, 2.0), (0.5, 2.0), (200.0, 3.0)])
def test_generalized_mean_lies_between_mean_and_maximum(exponent: float, expected: float) -> None:
    x, mask = torch.tensor([[[1.0], [3.0], [99.0]]]), torch.tensor([[True, True, False]])

    assert generalized_mean(x, mask, torch.tensor(exponent)).item() == pytest.approx(expected, rel=0.01)


def test_generalized_mean_has_finite_gradients_of_negative_numbers_and_of_nothing() -> None:
    x = torch.tensor([[[-1.0], [2.0]], [[5.0], [5.0]]], requires_grad=True)
    exponent, mask = torch.tensor(3.0, requires_grad=True), torch.tensor([[True, True], [False, False]])

    pooled = generalized_mean(x, mask, exponent)
    pooled.sum().backward()

    assert pooled[1].item() == 0
    assert x.grad is not None
    assert x.grad.isfinite().all()
    assert x.grad[1].eq(0).all()
    assert exponent.grad is not None
    assert exponent.grad.isfinite()


def test_strides_leave_a_position_of_the_longest_series() -> None:
    whole, beyond = (ResNet(widths=(8, 8), strides=(2, last), groups=4, features=12) for last in (24, 25))

    assert whole.build(SCHEMA, STATISTICS).stride == SCHEMA.max_steps
    with pytest.raises(ValueError, match=r"strides \[2, 25\] skip 50 steps of at most 48"):
        beyond.build(SCHEMA, STATISTICS)


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "resnet", "strides": [2]},
        {"kind": "resnet", "kernel": 4},
        {"kind": "resnet", "features": 100},
        {"kind": "resnet", "groups": 7},
        {"kind": "patch_transformer", "heads": 3},
        {"kind": "patch_transformer", "features": 100},
    ],
)
def test_contradictions_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError, match=r"must"):
        TypeAdapter(AnySensorEncoder).validate_python(wrong)
