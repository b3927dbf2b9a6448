"""Image encoders from the transformers library, and their union. Axes: B samples, S patches or cells, D features."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from modalities.backbone import depth_blocks, load_pretrained
from modalities.image.codec import ImageSchema
from modalities.image.patching import ImagePatching
from modalities.image.residual import ImageResNet
from modalities.spec import Config, Encoded, Signal, Statistics

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Leading tokens that are no patch, by architecture.
_PREFIX = {"vit": 1, "deit": 2, "dinov2": 1, "convnext": 0, "convnextv2": 0}


class VisionTransformer(Config):
    """ViT (arXiv 2010.11929) from random weights; features are the mean over patches (arXiv 2205.01580)."""

    kind: Literal["vit"] = "vit"
    """Transformer over patches of pixels."""
    patch: int = Field(default=8, ge=2)
    """Side of a patch in pixels; must divide the image."""
    width: int = Field(default=128, ge=8)
    """Size D of the features."""
    depth: int = Field(default=4, ge=1, le=1024)
    """Transformer blocks."""
    heads: int = Field(default=4, ge=1)
    """Attention heads; must divide the width."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of the residual branches."""

    @model_validator(mode="after")
    def _consistent(self) -> "VisionTransformer":
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        return self

    def build(self, schema: ImageSchema, statistics: Statistics) -> "ImageEncoder":
        """Raises ValueError where the patch does not divide the image."""
        from transformers import ViTConfig, ViTModel  # imported late: it takes seconds

        if schema.height % self.patch or schema.width % self.patch:
            raise ValueError(f"patch ({self.patch}) must divide the image ({schema.height} x {schema.width})")
        config = ViTConfig(
            image_size=(schema.height, schema.width),
            patch_size=self.patch,
            hidden_size=self.width,
            intermediate_size=4 * self.width,
            num_hidden_layers=self.depth,
            num_attention_heads=self.heads,
            hidden_dropout_prob=self.dropout,
        )
        return ImageEncoder(ViTModel(config, add_pooling_layer=False), statistics)


class ConvNeXt(Config):
    """ConvNeXt (arXiv 2201.03545) from random weights; the layer scale meant for deep networks is left out."""

    kind: Literal["convnext"] = "convnext"
    """Convolutional network."""
    patch: int = Field(default=4, ge=1)
    """Side of a stem patch in pixels."""
    widths: tuple[int, ...] = Field(default=(32, 64, 128), min_length=1)
    """Channels of each stage; each after the first halves the resolution; the last is the size D of the features."""
    depths: tuple[Annotated[int, Field(le=1024)], ...] = Field(default=(1, 1, 2), min_length=1)
    """Blocks of each stage."""

    @model_validator(mode="after")
    def _consistent(self) -> "ConvNeXt":
        if len(self.widths) != len(self.depths) or min(*self.widths, *self.depths) < 1:
            raise ValueError(f"widths {self.widths} and depths {self.depths} must name the same stages, positive")
        return self

    def build(self, schema: ImageSchema, statistics: Statistics) -> "ImageEncoder":
        """Raises ValueError where the image is too small for the stages."""
        from transformers import ConvNextConfig, ConvNextModel  # imported late: it takes seconds

        shrink = self.patch * 2 ** (len(self.widths) - 1)
        if min(schema.height, schema.width) < shrink:
            raise ValueError(f"{len(self.widths)} stages of patch {self.patch} need images of {shrink} pixels or more")
        config = ConvNextConfig(
            patch_size=self.patch,
            num_stages=len(self.widths),
            hidden_sizes=list(self.widths),
            depths=list(self.depths),
            layer_scale_init_value=0.0,
        )
        return ImageEncoder(ConvNextModel(config), statistics)


class PretrainedVision(Config):
    """Public weights: ViT, DeiT, DINOv2, ConvNeXt or ConvNeXt V2. Safetensors only, no code from the repository."""

    kind: Literal["pretrained"] = "pretrained"
    """Pretrained weights."""
    name: str = Field(min_length=1)
    """Hub name or local folder."""
    revision: str | None = None
    """Commit of a hub repository, for a run that can be repeated; None means its newest."""
    side: int | None = Field(default=None, ge=8)
    """Side in pixels the network expects; images are resized to it. None feeds them as stored."""
    mean: tuple[float, float, float] | None = (0.485, 0.456, 0.406)
    """Colour means the weights were trained with; None uses the data set's."""
    std: tuple[float, float, float] | None = (0.229, 0.224, 0.225)
    """Colour deviations the weights were trained with; None uses the data set's."""

    def build(self, schema: ImageSchema, statistics: Statistics) -> "ImageEncoder":
        """Raises ValueError where the weights cannot be used."""
        model = load_pretrained(self.name, revision=self.revision, families=_PREFIX)
        known = {"mean": list(self.mean or statistics["mean"]), "std": list(self.std or statistics["std"])}
        return ImageEncoder(model, known, side=self.side)


AnyImageEncoder = Annotated[VisionTransformer | ConvNeXt | ImageResNet | PretrainedVision, Field(discriminator="kind")]


class ImageEncoder(nn.Module):
    """Images (B, 3, H, W) -> Encoded, one position per patch or cell, row by row."""

    def __init__(self, backbone: "PreTrainedModel", statistics: Statistics, *, side: int | None = None) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(statistics["mean"], dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(statistics["std"], dtype=torch.float32)[:, None, None])
        config = backbone.config
        self.backbone, self.side = backbone, side
        self.prefix = _PREFIX[config.model_type]
        self.convolutional = config.model_type.startswith("convnext")
        self.width = int(config.hidden_sizes[-1] if self.convolutional else config.hidden_size)
        self.cell = int(config.patch_size) * (2 ** (len(config.hidden_sizes) - 1) if self.convolutional else 1)

    @property
    def patching(self) -> ImagePatching:
        return ImagePatching(self.mean, self.std, self.cell, side=self.side)

    def forward(self, signal: Signal) -> Encoded:
        found = self.backbone(pixel_values=self.patching.scores(signal))
        if self.convolutional:
            sequence = self.backbone.get_submodule("layernorm")(found.last_hidden_state.flatten(2).transpose(1, 2))
            pooled = found.pooler_output
        else:
            sequence = found.last_hidden_state[:, self.prefix :]
            pooled = sequence.mean(dim=1)
        return Encoded(pooled, sequence, torch.ones(sequence.shape[:2], dtype=torch.bool, device=sequence.device))

    def blocks(self) -> Sequence[nn.Module]:
        return depth_blocks(self.backbone)
