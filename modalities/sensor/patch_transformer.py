"""Transformer over patches of time for sensor series.

Axes: B samples, C channels, T steps, S patches, H heads, D features.
"""

from collections.abc import Sequence
from typing import Literal

from pydantic import Field, model_validator
from torch import Tensor, nn
from torch.nn import functional

from modalities.position_codes import position_codes
from modalities.sensor.codec import SensorSchema
from modalities.sensor.layers import Derived, Normalize, Pool, PoolHead, check_head
from modalities.sensor.patching import TimePatching
from modalities.spec import Config, Encoded, Signal, Statistics


class PatchTransformer(Config):
    """Pre-norm transformer whose tokens are patches of all channels (after PatchTST, arXiv 2211.14730)."""

    kind: Literal["patch_transformer"] = "patch_transformer"
    """Transformer over patches."""
    patch: int = Field(default=8, ge=1)
    """Steps per patch, without overlap."""
    width: int = Field(default=128, ge=2)
    """Size of the residual stream, even."""
    depth: int = Field(default=4, ge=1, le=1024)
    """Transformer blocks."""
    heads: int = Field(default=4, ge=1)
    """Attention heads; must divide the width."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout on both residual branches."""
    features: int = Field(default=384, ge=1)
    """Size D of the features."""
    pools: tuple[Pool, ...] = Field(default=("mean", "max", "std"), min_length=1)
    """How features are pooled over time, `gem` by a generalised mean; the features are split evenly."""
    segments: int = Field(default=1, ge=1)
    """Equal parts of the observed length that are pooled apart; more than one keeps the coarse order of events."""
    derived: tuple[Derived, ...] = ()
    """Further inputs: the magnitude of each consecutive channel triple, the step-to-step difference."""

    @model_validator(mode="after")
    def _consistent(self) -> "PatchTransformer":
        if self.width % self.heads or self.width % 2:
            raise ValueError(f"width ({self.width}) must be even and a multiple of heads ({self.heads})")
        check_head(self.features, pools=self.pools, segments=self.segments)
        return self

    def build(self, schema: SensorSchema, statistics: Statistics) -> "PatchTransformerEncoder":
        return PatchTransformerEncoder(self, len(schema.channels), statistics)


class AttentionBlock(nn.Module):
    """x + attention(norm(x)), then x + mlp(norm(x)); unreal patches are never attended to."""

    def __init__(self, config: PatchTransformer) -> None:
        super().__init__()
        width, self.heads = config.width, config.heads
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, x: Tensor, attended: Tensor) -> Tensor:
        """x (B, S, width); attended (B, 1, 1, S) bool."""
        q, k, v = self.qkv(self.norm1(x)).unflatten(2, (3, self.heads, -1)).permute(2, 0, 3, 1, 4)
        mixed = functional.scaled_dot_product_attention(q, k, v, attn_mask=attended)
        x = x + self.dropout(self.out(mixed.transpose(1, 2).flatten(2)))
        return x + self.dropout(self.mlp(self.norm2(x)))


class PatchTransformerEncoder(nn.Module):
    """Signal (B, C, T) -> Encoded with S = ceil(T / patch)."""

    def __init__(self, config: PatchTransformer, channels: int, statistics: Statistics) -> None:
        super().__init__()
        self.width, self.patch = config.features, config.patch
        self.normalize = Normalize(channels, statistics, config.derived)
        self.embed = nn.Linear(self.normalize.width * config.patch, config.width)
        self.body = nn.ModuleList(AttentionBlock(config) for _ in range(config.depth))
        self.norm = nn.LayerNorm(config.width)
        self.head = PoolHead(config.width, config.features, pools=config.pools, segments=config.segments)

    @property
    def patching(self) -> TimePatching:
        return TimePatching(self.normalize, self.patch)

    def forward(self, signal: Signal) -> Encoded:
        x, seen = self.normalize(signal)
        missing = -x.shape[2] % self.patch
        x, seen = functional.pad(x, (0, missing)), functional.pad(seen, (0, missing))
        tokens = x.unflatten(2, (-1, self.patch)).permute(0, 2, 1, 3).flatten(2)
        mask = seen[:, 0].unflatten(1, (-1, self.patch)).any(dim=2)
        x = self.embed(tokens)
        x = x + position_codes(x.shape[1], x.shape[2]).to(x)
        attended = mask | ~mask.any(dim=1, keepdim=True)  # softmax over nothing is NaN
        for block in self.body:
            x = block(x, attended[:, None, None])
        return self.head(self.norm(x), mask)

    def blocks(self) -> Sequence[nn.Module]:
        return [self.embed, *self.body, nn.ModuleList([self.norm, self.head])]
