"""Image encoders: configuration mistakes, normalisation, and pretrained weights that may be hostile."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from transformers import (
    ConvNextConfig,
    ConvNextModel,
    ConvNextV2Config,
    ConvNextV2Model,
    DeiTConfig,
    DeiTModel,
    Dinov2Config,
    Dinov2Model,
    PreTrainedModel,
    ResNetConfig,
    ResNetModel,
)

from modalities.image.codec import ImageSchema
from modalities.image.encoder import ConvNeXt, PretrainedVision, VisionTransformer
from modalities.spec import Signal
from tests.modalities.tiny_weights import save_tiny_vit

SCHEMA = ImageSchema(height=16, width=24)
STATISTICS = {"mean": [0.2, 0.4, 0.6], "std": [0.1, 0.2, 0.3]}
TRANSFORMER = {"image_size": 32, "patch_size": 8, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
STAGES = {"hidden_sizes": [4, 8, 8, 16], "depths": [1, 1, 1, 1]}


def images(count: int = 3) -> Signal:
    values = torch.rand(count, 3, 16, 24, generator=torch.Generator().manual_seed(0))
    return Signal(values, None, torch.ones(count, dtype=torch.bool))


@pytest.mark.parametrize("config", [VisionTransformer(depth=1, width=16), ConvNeXt(widths=(8, 16), depths=(1, 1))])
def test_raw_values_are_normalised_with_the_training_statistics(config: VisionTransformer | ConvNeXt) -> None:
    torch.manual_seed(0)
    encoder = config.build(SCHEMA, STATISTICS)
    torch.manual_seed(0)
    plain = config.build(SCHEMA, {"mean": [0.0] * 3, "std": [1.0] * 3})
    shifted = (images().values - torch.tensor(STATISTICS["mean"])[:, None, None]) / torch.tensor(STATISTICS["std"])[
        :, None, None
    ]

    torch.testing.assert_close(encoder(images()).pooled, plain(Signal(shifted, None, images().present)).pooled)


def test_positions_are_patches_in_reading_order() -> None:
    """Without attention between them, a patch's features change only with its own pixels."""
    encoder = VisionTransformer(depth=1, width=16).build(SCHEMA, STATISTICS)
    for parameter in (
        encoder.backbone.layers[0].attention.o_proj.weight,
        encoder.backbone.layers[0].attention.o_proj.bias,
    ):
        torch.nn.init.zeros_(parameter)
    before, changed = images(1), images(1)
    changed.values[0, :, 8:, 16:] += 1.0  # last patch of 2 x 3

    moved = (encoder(changed).sequence - encoder(before).sequence).abs().amax(dim=2)[0] > 1e-6

    assert moved.tolist() == [False] * 5 + [True]


def test_impossible_configurations_are_refused() -> None:
    with pytest.raises(ValueError, match="must divide the image"):
        VisionTransformer(patch=7).build(SCHEMA, STATISTICS)
    with pytest.raises(ValueError, match="need images of 64 pixels"):
        ConvNeXt(widths=(8,) * 5, depths=(1,) * 5).build(SCHEMA, STATISTICS)
    with pytest.raises(ValidationError, match="multiple of heads"):
        VisionTransformer(width=30, heads=4)
    with pytest.raises(ValidationError, match="same stages"):
        ConvNeXt(widths=(8, 16), depths=(1,))


@pytest.mark.parametrize(
    ("model", "config", "positions"),
    [
        (DeiTModel, DeiTConfig(**TRANSFORMER, intermediate_size=32), 16),
        (Dinov2Model, Dinov2Config(**TRANSFORMER), 16),
        (ConvNextModel, ConvNextConfig(**STAGES), 1),
        (ConvNextV2Model, ConvNextV2Config(**STAGES), 1),
    ],
    ids=["deit", "dinov2", "convnext", "convnextv2"],
)
def test_other_architectures_can_be_pretrained(
    model: type[PreTrainedModel], config: object, positions: int, tmp_path: Path
) -> None:
    model(config).save_pretrained(tmp_path)
    encoder = PretrainedVision(name=str(tmp_path), side=32).build(SCHEMA, STATISTICS)
    encoded = encoder(images())
    encoded.pooled.pow(3).sum().backward()

    assert encoded.sequence.shape == (3, positions, 16)
    assert [n for n, p in encoder.named_parameters() if p.requires_grad and p.grad is None] == []
    assert {id(p) for block in encoder.blocks() for p in block.parameters()} == {id(p) for p in encoder.parameters()}


def test_pretrained_weights_are_really_loaded(tmp_path: Path) -> None:
    save_tiny_vit(tmp_path)
    built = []
    for seed in (0, 1):
        torch.manual_seed(seed)
        built.append(PretrainedVision(name=str(tmp_path)).build(SCHEMA, STATISTICS))

    torch.testing.assert_close(built[0](images()).pooled, built[1](images()).pooled, rtol=0, atol=0)


def test_weights_that_are_not_safetensors_are_refused(tmp_path: Path) -> None:
    save_tiny_vit(tmp_path)
    (tmp_path / "model.safetensors").rename(tmp_path / "pytorch_model.bin")

    with pytest.raises(ValueError, match=r"model\.safetensors"):
        PretrainedVision(name=str(tmp_path)).build(SCHEMA, STATISTICS)


def test_code_beside_the_weights_never_runs(tmp_path: Path) -> None:
    save_tiny_vit(tmp_path)
    canary = tmp_path / "ran"
    (tmp_path / "modeling_evil.py").write_text(f"open({str(canary)!r}, 'w')\nclass Evil: pass\n")
    config = json.loads((tmp_path / "config.json").read_text())
    config["auto_map"] = {"AutoModel": "modeling_evil.Evil", "AutoConfig": "modeling_evil.Evil"}
    (tmp_path / "config.json").write_text(json.dumps(config))

    PretrainedVision(name=str(tmp_path)).build(SCHEMA, STATISTICS)

    assert not canary.exists()


def test_incomplete_or_foreign_weights_are_refused(tmp_path: Path) -> None:
    save_tiny_vit(tmp_path / "vit")
    ResNetModel(ResNetConfig(hidden_sizes=[8, 8, 8, 8], depths=[1] * 4, embedding_size=8)).save_pretrained(
        tmp_path / "resnet"
    )
    shutil.copytree(tmp_path / "vit", tmp_path / "deeper")
    config = json.loads((tmp_path / "vit" / "config.json").read_text())
    (tmp_path / "deeper" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 3}))

    for name, message in (("resnet", "supported are"), ("deeper", "lacks weights"), ("nothing", "cannot load")):
        with pytest.raises(ValueError, match=message):
            PretrainedVision(name=str(tmp_path / name)).build(SCHEMA, STATISTICS)
