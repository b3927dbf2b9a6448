"""Residual convolution network for images. Axes: B samples, D channels or features, H and W cells, S = H * W."""

from collections.abc import Sequence
from typing import Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from modalities.image.codec import ImageSchema
from modalities.image.patching import ImagePatching
from modalities.spec import Config, Encoded, Signal, Statistics

Pool = Literal["mean", "max"]

_EPSILON = 1e-5


class ImageResNet(Config):
    """Residual blocks (arXiv 1512.03385) with group normalisation (arXiv 1803.08494) and standardised weights
    (arXiv 1903.10520), which together train as fast as batch normalisation and never mix samples."""

    kind: Literal["resnet"] = "resnet"
    """Residual convolution network."""
    widths: tuple[int, ...] = Field(default=(32, 64, 128), min_length=1)
    """Channels of each stage; each after the first halves the resolution."""
    blocks_per_stage: int = Field(default=1, ge=1, le=1024)
    """Residual blocks in each stage."""
    stem_stride: int = Field(default=2, ge=1, le=1024)
    """Stride of the first convolution."""
    groups: int = Field(default=8, ge=1)
    """Groups of the normalisation; must divide every width."""
    features: int = Field(default=256, ge=1)
    """Size D of the features."""
    pools: tuple[Pool, ...] = Field(default=("mean", "max"), min_length=1)
    """How features are pooled over the image; the features are split evenly."""

    @model_validator(mode="after")
    def _consistent(self) -> "ImageResNet":
        if any(width % self.groups for width in self.widths):
            raise ValueError(f"groups ({self.groups}) must divide every width; got {list(self.widths)}")
        if self.features % len(self.pools):
            raise ValueError(
                f"features ({self.features}) must be a multiple of the number of pools ({len(self.pools)})"
            )
        return self

    def build(self, schema: ImageSchema, statistics: Statistics) -> "ImageResNetEncoder":
        return ImageResNetEncoder(self, statistics)


class StandardizedConv(nn.Conv2d):
    """Convolution whose weights have zero mean and unit variance per output channel (arXiv 1903.10520, eq. 3-6)."""

    def forward(self, input: Tensor) -> Tensor:
        variance, mean = torch.var_mean(self.weight, dim=(1, 2, 3), keepdim=True, unbiased=False)
        weight = (self.weight - mean) * torch.rsqrt(variance * self.weight[0].numel() + _EPSILON)
        return functional.conv2d(input, weight, self.bias, self.stride, self.padding)


class Block(nn.Module):
    """shortcut(x) + conv(act(norm(conv(act(norm(x)))))), the pre-activation form (arXiv 1603.05027)."""

    def __init__(self, inputs: int, outputs: int, *, stride: int, groups: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.GroupNorm(groups, inputs), nn.GroupNorm(groups, outputs)
        self.conv1 = StandardizedConv(inputs, outputs, 3, stride=stride, padding=1)
        self.conv2 = StandardizedConv(outputs, outputs, 3, padding=1)
        same = inputs == outputs and stride == 1
        self.shortcut = nn.Identity() if same else StandardizedConv(inputs, outputs, 1, stride=stride)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.conv1(torch.relu(self.norm1(x)))
        return self.shortcut(x) + self.conv2(torch.relu(self.norm2(inner)))


class ImageResNetEncoder(nn.Module):
    """Images (B, 3, H, W) -> Encoded, one position per cell, row by row."""

    def __init__(self, config: ImageResNet, statistics: Statistics) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(statistics["mean"], dtype=torch.float32)[:, None, None])
        self.register_buffer("std", torch.tensor(statistics["std"], dtype=torch.float32)[:, None, None])
        self.width, self.pools = config.features, config.pools
        self.cell = config.stem_stride * 2 ** (len(config.widths) - 1)
        self.stem = StandardizedConv(3, config.widths[0], 5, stride=config.stem_stride, padding=2)
        self.body = nn.ModuleList(_body(config))
        self.norm = nn.GroupNorm(config.groups, config.widths[-1])
        self.head = nn.Linear(config.widths[-1], config.features)

    @property
    def patching(self) -> ImagePatching:
        return ImagePatching(self.mean, self.std, self.cell, partial=True)

    def forward(self, signal: Signal) -> Encoded:
        x = self.stem(self.patching.scores(signal))
        for block in self.body:
            x = block(x)
        cells = torch.relu(self.norm(x)).flatten(2).transpose(1, 2)
        sequence = self.head(cells).float()  # pooling in bfloat16 would lose digits
        parts = sequence.chunk(len(self.pools), dim=2)
        pooled = [
            part.mean(dim=1) if pool == "mean" else part.amax(dim=1)
            for part, pool in zip(parts, self.pools, strict=True)
        ]
        return Encoded(
            torch.cat(pooled, dim=1), sequence, torch.ones(sequence.shape[:2], dtype=torch.bool, device=x.device)
        )

    def blocks(self) -> Sequence[nn.Module]:
        return [self.stem, *self.body, nn.ModuleList([self.norm, self.head])]


def _body(config: ImageResNet) -> list[Block]:
    blocks, inputs = [], config.widths[0]
    for stage, width in enumerate(config.widths):
        for depth in range(config.blocks_per_stage):
            stride = 2 if stage > 0 and depth == 0 else 1
            blocks.append(Block(inputs, width, stride=stride, groups=config.groups))
            inputs = width
    return blocks
