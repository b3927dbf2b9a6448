"""Residual dilated one-dimensional convolution network for sensor series.

Axes: B samples, C channels, T steps, S positions after striding, D features.
"""

import math
from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field, model_validator
from torch import Tensor, nn

from modalities.sensor.codec import SensorSchema
from modalities.sensor.layers import Derived, MaskedGroupNorm, Normalize, Pool, PoolHead, check_head
from modalities.sensor.patching import TimePatching
from modalities.spec import Config, Encoded, Signal, Statistics


class ResNet(Config):
    """Pre-activation residual blocks (arXiv 1603.05027) of dilated convolutions with group normalisation."""

    kind: Literal["resnet"] = "resnet"
    """Residual convolution network."""
    widths: tuple[int, ...] = Field(default=(64, 128, 128), min_length=1)
    """Channels of each stage."""
    strides: tuple[Annotated[int, Field(ge=1, le=1024)], ...] = Field(default=(2, 2, 1), min_length=1)
    """Time stride at the start of each stage; the first is the stem's. Their product is at most `max_steps`."""
    blocks_per_stage: int = Field(default=1, ge=1, le=16)
    """Residual blocks in each stage; dilation doubles from block to block inside a stage."""
    kernel: int = Field(default=5, ge=3, le=4095)
    """Taps of every convolution, odd."""
    groups: int = Field(default=8, ge=1)
    """Groups of the normalisation; must divide every width."""
    features: int = Field(default=384, ge=1)
    """Size D of the features."""
    pools: tuple[Pool, ...] = Field(default=("mean", "max", "std"), min_length=1)
    """How features are pooled over time, `gem` by a generalised mean; the features are split evenly."""
    segments: int = Field(default=1, ge=1)
    """Equal parts of the observed length that are pooled apart; more than one keeps the coarse order of events."""
    derived: tuple[Derived, ...] = ()
    """Further inputs: the magnitude of each consecutive channel triple, the step-to-step difference."""

    @model_validator(mode="after")
    def _consistent(self) -> "ResNet":
        if len(self.strides) != len(self.widths):
            raise ValueError(f"strides must have one entry per width ({len(self.widths)}); got {len(self.strides)}")
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd; got {self.kernel}")
        check_head(self.features, pools=self.pools, segments=self.segments)
        if any(width % self.groups for width in self.widths):
            raise ValueError(f"groups ({self.groups}) must divide every width; got {list(self.widths)}")
        return self

    def build(self, schema: SensorSchema, statistics: Statistics) -> "ResNetEncoder":
        """Raises ValueError where the strides leave less than one position of the longest series."""
        if (product := math.prod(self.strides)) > schema.max_steps:
            raise ValueError(f"the strides {list(self.strides)} skip {product} steps of at most {schema.max_steps}")
        return ResNetEncoder(self, len(schema.channels), statistics)


class MaskedConv(nn.Module):
    """Convolution (B, D, S) whose unreal positions are zeros, exactly as beyond the edge; mask (B, 1, S)."""

    def __init__(self, inputs: int, outputs: int, kernel: int, *, stride: int = 1, dilation: int = 1) -> None:
        super().__init__()
        padding = dilation * (kernel - 1) // 2
        self.stride = stride
        self.conv = nn.Conv1d(inputs, outputs, kernel, stride=stride, padding=padding, dilation=dilation)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """Result and its mask: position j is real where input position j * stride is."""
        if mask is None:
            return self.conv(x), None
        mask = mask[:, :, :: self.stride]
        return self.conv(x) * mask, mask


class Block(nn.Module):
    """x + conv(act(norm(conv(act(norm(x)))))), with a linear shortcut where the shape changes."""

    def __init__(self, inputs: int, outputs: int, config: ResNet, *, stride: int, dilation: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = MaskedGroupNorm(config.groups, inputs), MaskedGroupNorm(config.groups, outputs)
        self.conv1 = MaskedConv(inputs, outputs, config.kernel, stride=stride, dilation=dilation)
        self.conv2 = MaskedConv(outputs, outputs, config.kernel, dilation=dilation)
        same = inputs == outputs and stride == 1
        self.shortcut = None if same else MaskedConv(inputs, outputs, 1, stride=stride)

    def forward(self, x: Tensor, mask: Tensor | None) -> tuple[Tensor, Tensor | None]:
        kept = x if self.shortcut is None else self.shortcut(x, mask)[0]
        x, inner = self.conv1(torch.relu(self.norm1(x, mask)), mask)
        x, inner = self.conv2(torch.relu(self.norm2(x, inner)), inner)
        return kept + x, inner


class ResNetEncoder(nn.Module):
    """Signal (B, C, T) -> Encoded with S = T / product of strides."""

    def __init__(self, config: ResNet, channels: int, statistics: Statistics) -> None:
        super().__init__()
        self.width, self.stride = config.features, math.prod(config.strides)
        self.normalize = Normalize(channels, statistics, config.derived)
        self.stem = MaskedConv(self.normalize.width, config.widths[0], config.kernel, stride=config.strides[0])
        self.body = nn.ModuleList(_body(config))
        self.norm = MaskedGroupNorm(config.groups, config.widths[-1])
        self.head = PoolHead(config.widths[-1], config.features, pools=config.pools, segments=config.segments)

    @property
    def patching(self) -> TimePatching:
        return TimePatching(self.normalize, self.stride)

    def forward(self, signal: Signal) -> Encoded:
        x, seen = self.normalize(signal)
        whole = not torch.compiler.is_exporting() and bool(seen.all())  # a graph for every batch cannot branch on it
        mask = None if whole else seen  # the masked path gives the same result, more slowly
        x, mask = self.stem(x, mask)
        for block in self.body:
            x, mask = block(x, mask)
        x = torch.relu(self.norm(x, mask)).transpose(1, 2)
        real = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device) if mask is None else mask[:, 0]
        return self.head(x, real)

    def blocks(self) -> Sequence[nn.Module]:
        return [self.stem, *self.body, nn.ModuleList([self.norm, self.head])]


def _body(config: ResNet) -> list[Block]:
    blocks, inputs = [], config.widths[0]
    for stage, (width, stride) in enumerate(zip(config.widths, config.strides, strict=True)):
        for depth in range(config.blocks_per_stage):
            first = stage > 0 and depth == 0
            blocks.append(Block(inputs, width, config, stride=stride if first else 1, dilation=2**depth))
            inputs = width
    return blocks
