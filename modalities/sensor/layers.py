"""Parts both sensor encoders share: masked normalisation, input preparation and pooling.

Axes: B samples, C channels, T steps, S positions after striding, D features.
"""

from typing import Literal

import torch
from torch import Tensor, nn

from modalities.sensor.masking import observed_mask
from modalities.spec import Encoded, Signal, Statistics

Derived = Literal["magnitude", "difference"]
Pool = Literal["mean", "max", "std", "gem"]

_CLIP = 20.0  # deviations; a faulty reading must not swamp a window
_EPSILON = 1e-5
_LEAST_POWER_BASE = 1e-6  # generalised means are of positive numbers


class Normalize(nn.Module):
    """Raw signal (B, C, T) -> inputs (B, F, T) and time mask (B, 1, T).

    Readings become standard scores with the training split's mean and std, unobserved entries become 0, and the
    entries' observed flags follow as further channels, so that a missing reading differs from an average one.
    """

    def __init__(self, channels: int, statistics: Statistics, derived: tuple[Derived, ...]) -> None:
        super().__init__()
        self.mean: Tensor
        self.std: Tensor
        self.register_buffer("mean", torch.tensor(statistics["mean"], dtype=torch.float32)[:, None])
        self.register_buffer("std", torch.tensor(statistics["std"], dtype=torch.float32)[:, None])
        if len(self.mean) != channels:
            raise ValueError(f"statistics describe {len(self.mean)} channels; the schema has {channels}")
        if "magnitude" in derived and channels % 3:
            raise ValueError(f"derived: magnitude needs channels in triples; the schema has {channels}")
        self.derived = derived
        self.width = 2 * channels + sum(channels // 3 if name == "magnitude" else channels for name in derived)

    def forward(self, signal: Signal) -> tuple[Tensor, Tensor]:
        scores, mask = self.scores(signal)
        parts = [scores, mask.to(scores.dtype)]
        if "magnitude" in self.derived:
            parts.append(self._magnitude(signal.values, mask))
        if "difference" in self.derived:
            change, both = scores.diff(dim=2, prepend=scores[:, :, :1]), mask.clone()
            both[:, :, 1:] &= mask[:, :, :-1]
            parts.append(change * both)
        seen = mask.any(dim=1, keepdim=True)
        return torch.cat(parts, dim=1), seen if signal.hidden is None else seen | signal.hidden[:, None]

    def scores(self, signal: Signal) -> tuple[Tensor, Tensor]:
        """Standard scores (B, C, T), 0 where unobserved, and the mask of what is observed."""
        mask = observed_mask(signal)
        scores = ((signal.values - self.mean) / self.std).clamp(-_CLIP, _CLIP)
        return torch.where(mask, scores, torch.zeros_like(scores)), mask

    def _magnitude(self, values: Tensor, mask: Tensor) -> Tensor:
        triple = (len(values), -1, 3, values.shape[2])
        scale = (self.mean.reshape(-1, 3).square().sum(1) + self.std.reshape(-1, 3).square().sum(1)).sqrt()
        length = values.reshape(triple).square().sum(dim=2).add(1e-12).sqrt() / scale[:, None]
        return length.clamp(max=_CLIP) * mask.reshape(triple).all(dim=2)


class MaskedGroupNorm(nn.Module):
    """GroupNorm (arXiv 1803.08494) whose moments see only real positions. x (B, D, S) must be 0 at unreal ones."""

    def __init__(self, groups: int, width: int) -> None:
        super().__init__()
        self.groups = groups
        self.weight, self.bias = nn.Parameter(torch.ones(width, 1)), nn.Parameter(torch.zeros(width, 1))

    def forward(self, x: Tensor, mask: Tensor | None) -> Tensor:
        """mask (B, 1, S); None means every position is real."""
        if mask is None:
            return nn.functional.group_norm(x, self.groups, self.weight[:, 0], self.bias[:, 0], _EPSILON)
        x = x.float()
        grouped = x.unflatten(1, (self.groups, -1))
        count = (mask.sum(dim=2, keepdim=True) * grouped.shape[2]).clamp(min=1)[:, :, None]
        mean = grouped.sum(dim=(2, 3), keepdim=True) / count
        variance = (grouped.square().sum(dim=(2, 3), keepdim=True) / count - mean.square()).clamp(min=0)
        rate = torch.rsqrt(variance + _EPSILON)
        scale = (rate * self.weight.unflatten(0, (self.groups, -1))).flatten(1, 2)
        shift = self.bias - (mean * rate * self.weight.unflatten(0, (self.groups, -1))).flatten(1, 2)
        return torch.addcmul(shift, x, scale) * mask


class PoolHead(nn.Module):
    """Linear map of every position to D features, each of which is pooled over one part of time in one way.

    The features are split evenly over `segments` equal parts of the observed length and, within each, over `pools`
    (mean, maximum, standard deviation or generalised mean over real positions), so pooled and sequence features have
    the same width. One segment forgets when something happened; several keep the coarse course of time. The exponent of
    generalised means is learned, from 3 on (arXiv 1711.02512; AGW, arXiv 2001.04193).
    """

    def __init__(self, width: int, features: int, *, pools: tuple[Pool, ...], segments: int) -> None:
        super().__init__()
        self.pools, self.segments, self.linear = pools, segments, nn.Linear(width, features)
        self.exponent = nn.Parameter(torch.tensor(3.0)) if "gem" in pools else None

    def forward(self, x: Tensor, mask: Tensor) -> Encoded:
        """x (B, S, width), mask (B, S)."""
        sequence = self.linear(x).float() * mask[:, :, None]  # pooling in bfloat16 would lose digits
        parts = sequence.chunk(self.segments * len(self.pools), dim=2)
        pooled = []
        for number, own in enumerate(segment_masks(mask, self.segments)):
            mine = parts[number * len(self.pools) : (number + 1) * len(self.pools)]
            pooled += [self._pool(part, own, pool) for part, pool in zip(mine, self.pools, strict=True)]
        return Encoded(torch.cat(pooled, dim=1), sequence, mask)

    def _pool(self, x: Tensor, mask: Tensor, pool: Pool) -> Tensor:
        if pool == "gem" and self.exponent is not None:
            return generalized_mean(x, mask, self.exponent)
        return pool_time(x, mask, pool)


def check_head(features: int, *, pools: tuple[Pool, ...], segments: int) -> None:
    """Raises ValueError where the features cannot be split evenly."""
    if features % (len(pools) * segments):
        raise ValueError(f"features ({features}) must be a multiple of pools x segments ({len(pools)} x {segments})")


def segment_masks(mask: Tensor, segments: int) -> list[Tensor]:
    """mask (B, S) split into equal parts of each row's observed length, one (B, S) each."""
    steps = torch.arange(mask.shape[1], device=mask.device)
    length = (mask * (steps + 1)).amax(dim=1, keepdim=True).clamp(min=1)
    number = steps * segments // length
    return [mask & (number == segment) for segment in range(segments)]


def generalized_mean(x: Tensor, mask: Tensor, exponent: Tensor) -> Tensor:
    """(B, S, D) -> (B, D): (mean of max(x, 1e-6)^p)^(1/p) over the positions of mask (B, S); 0 where a sample has none.

    exponent: p, a scalar; below 1 it counts as 1, where this is the mean. The larger p, the nearer to the maximum.
    """
    power, seen = exponent.clamp(min=1.0), mask[:, :, None]
    positive = torch.where(seen, x, 0.0).clamp(min=_LEAST_POWER_BASE)
    top = positive.detach().amax(dim=1, keepdim=True)  # powers of shares of it do not overflow
    mean = ((positive / top).pow(power) * seen).sum(dim=1) / seen.sum(dim=1).clamp(min=1)
    there = seen.any(dim=1)
    root = torch.where(there, mean, 1.0).pow(1 / power)  # of 0 it would have no gradient
    return torch.where(there, top[:, 0] * root, 0.0)


def pool_time(x: Tensor, mask: Tensor, pool: Pool) -> Tensor:
    """(B, S, D) -> (B, D) over the positions of mask (B, S); 0 where a sample has none."""
    seen = mask[:, :, None]
    if pool == "max":
        return torch.where(seen.any(dim=1), x.masked_fill(~seen, -torch.inf).amax(dim=1), 0.0)
    count = seen.sum(dim=1).clamp(min=1)
    mean = (x * seen).sum(dim=1) / count
    if pool == "mean":
        return mean
    variance = ((x - mean[:, None]) * seen).square().sum(dim=1) / count
    return (variance + _EPSILON).sqrt()
