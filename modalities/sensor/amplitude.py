"""Transforms of readings that leave every moment where it is. Strengths are relative to the window they act on.

Raw readings of different channels have different units, so noise is scaled by the standard deviation a channel has
inside its own window: strong movement gets strong noise, rest keeps its fine structure.
"""

import math
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from modalities.draws import Draws
from modalities.sensor.masking import choose, observed_mask, step_grid, window_moments
from modalities.spec import Config, Signal


class Jitter(Config):
    """Gaussian noise on every reading."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["jitter"] = "jitter"
    """Additive noise."""
    strength: float = Field(default=0.1, ge=0)
    """Largest noise deviation relative to the channel's deviation in this window; each sample draws from 0 to it."""
    absolute: tuple[float, ...] = ()
    """Further noise deviation in each channel's own unit, the same for rest and movement: what is finer than it stops
    telling windows apart. One number per channel; empty means none."""
    chance: float = Field(default=1.0, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        mask = observed_mask(signal)
        _, std = window_moments(signal.values, mask)
        level = draws.uniform(1, 1, high=self.strength) * std
        if self.absolute:
            level = (level.square() + torch.tensor(self.absolute, device=level.device)[:, None].square()).sqrt()
        noise = draws.normal(*signal.values.shape[1:])
        return choose(signal, signal.values + level * noise, mask, draws=draws, chance=self.chance)


class Scaling(Config):
    """A gain error: readings times exp(normal)."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["scaling"] = "scaling"
    """Multiplicative gain."""
    strength: float = Field(default=0.2, ge=0)
    """Deviation of the logarithm of the gain."""
    per_channel: bool = False
    """Whether each channel draws its own gain; otherwise one gain for all."""
    centred: bool = False
    """Whether only the departure from the window's mean is scaled, which keeps the direction of gravity."""
    chance: float = Field(default=1.0, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        mask = observed_mask(signal)
        channels = signal.values.shape[1] if self.per_channel else 1
        gain = draws.normal(channels, 1, std=self.strength).exp()
        mean = window_moments(signal.values, mask)[0] if self.centred else 0.0
        return choose(signal, mean + (signal.values - mean) * gain, mask, draws=draws, chance=self.chance)


class Negation(Config):
    """Readings with the opposite sign, as if the sensor were worn the other way round."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["negation"] = "negation"
    """Opposite sign."""
    chance: float = Field(default=0.5, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        return choose(signal, -signal.values, observed_mask(signal), draws=draws, chance=self.chance)


class Rotation(Config):
    """One random three-dimensional rotation of every declared channel triple, as if the device were worn otherwise."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["rotation"] = "rotation"
    """Turned sensor frame."""
    triples: tuple[tuple[int, int, int], ...] = ()
    """Channel numbers of each x, y, z; empty means consecutive triples, which needs a multiple of three channels."""
    max_angle_deg: float = Field(default=30.0, ge=0, le=180)
    """Largest angle; each sample draws from 0 to it."""
    axis: tuple[float, float, float] | None = None
    """Axis of the rotation, such as the vertical; None draws a random axis for each sample."""
    chance: float = Field(default=1.0, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        rows = _triples(self.triples, signal.values.shape[1], device=signal.values.device)
        angle = draws.uniform(high=math.radians(self.max_angle_deg))
        drawn = draws.normal(3)
        axis = drawn if self.axis is None else torch.tensor(self.axis, device=drawn.device).expand_as(drawn)
        matrix = rotation_matrix(axis, angle)
        before = signal.values[:, rows].unflatten(1, (-1, 3))
        seen = observed_mask(signal)[:, rows].unflatten(1, (-1, 3)).all(dim=2, keepdim=True).expand_as(before)
        turned = (matrix[:, None] @ before).flatten(1, 2)
        values = signal.values.index_copy(1, rows, turned)
        mask = observed_mask(signal).index_copy(1, rows, seen.flatten(1, 2))
        return choose(signal, values, mask, draws=draws, chance=self.chance)


def rotation_matrix(axis: Tensor, angle: Tensor) -> Tensor:
    """Rodrigues' formula: axis (B, 3) of any length, angle (B,) in radians -> (B, 3, 3)."""
    x, y, z = torch.nn.functional.normalize(axis, dim=1).unbind(dim=1)
    zero = torch.zeros_like(x)
    cross = torch.stack([zero, -z, y, z, zero, -x, -y, x, zero], dim=1).reshape(-1, 3, 3)
    sine, cosine = angle.sin()[:, None, None], angle.cos()[:, None, None]
    return torch.eye(3, device=axis.device) + sine * cross + (1 - cosine) * (cross @ cross)


def _triples(declared: tuple[tuple[int, int, int], ...], channels: int, *, device: torch.device) -> Tensor:
    """Channel numbers (3N,), three after three."""
    if not declared and channels % 3:
        raise ValueError(f"rotation needs `triples` where the channels ({channels}) are not a multiple of three")
    if any(not 0 <= channel < channels for triple in declared for channel in triple):
        raise ValueError(f"rotation.triples {declared} must number channels below {channels}")
    return torch.tensor(declared, device=device).flatten() if declared else torch.arange(channels, device=device)


class ChannelDropout(Config):
    """Hides whole channels, or groups of channels, for the whole window; at least one stays observed."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["channel_dropout"] = "channel_dropout"
    """Missing channels."""
    rate: float = Field(default=0.1, ge=0, lt=1)
    """Chance of each channel (or group) to be hidden."""
    group_size: int = Field(default=1, ge=1)
    """Consecutive channels hidden together, such as 3 for the axes of one sensor."""
    chance: float = Field(default=1.0, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        mask = observed_mask(signal)
        groups = -(-mask.shape[1] // self.group_size)
        drawn = draws.uniform(groups)
        kept = (drawn >= self.rate) | (drawn == drawn.amax(dim=1, keepdim=True))
        kept = kept.repeat_interleave(self.group_size, dim=1)[:, : mask.shape[1], None]
        return choose(signal, signal.values, mask & kept, draws=draws, chance=self.chance)


class TimeMask(Config):
    """Hides spans of time in all channels."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["time_mask"] = "time_mask"
    """Missing spans."""
    max_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Largest share of the observed length one span hides; each span draws from 0 to it."""
    spans: int = Field(default=1, ge=1)
    """Number of spans."""
    chance: float = Field(default=1.0, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        mask = observed_mask(signal)
        steps, length, _ = step_grid(signal)
        width = (draws.uniform(self.spans, high=self.max_fraction) * length).floor()
        start = (draws.uniform(self.spans) * (length - width + 1)).floor()
        hidden = (steps[:, None] >= start[:, :, None]) & (steps[:, None] < (start + width)[:, :, None])
        kept = mask & ~hidden.any(dim=1)[:, None]
        left = kept.flatten(1).any(dim=1)[:, None, None]
        return choose(signal, signal.values, torch.where(left, kept, mask), draws=draws, chance=self.chance)


class FrequencyMask(Config):
    """Removes a random band of frequencies from the departure of each channel from its mean."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["frequency_mask"] = "frequency_mask"
    """Missing frequency band."""
    max_fraction: float = Field(default=0.2, gt=0, lt=1)
    """Largest share of the spectrum one band removes; each sample draws from 0 to it."""
    low_weighted: bool = False
    """Whether bands start low more often (start squared), where movement has its energy."""
    chance: float = Field(default=1.0, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        mask = observed_mask(signal)
        mean, _ = window_moments(signal.values, mask)
        spectrum = torch.fft.rfft((signal.values - mean) * mask, dim=2)
        bins = torch.arange(spectrum.shape[2], device=mask.device)[None] / spectrum.shape[2]
        width, start = draws.uniform(1, high=self.max_fraction), draws.uniform(1)
        start = (start**2 if self.low_weighted else start) * (1 - width)
        kept = (bins < start) | (bins >= start + width)
        values = torch.fft.irfft(spectrum * kept[:, None], n=mask.shape[2], dim=2)
        return choose(signal, values + mean, mask, draws=draws, chance=self.chance)
