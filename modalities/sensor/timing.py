"""Transforms that move readings in time, inside each sample's own observed length."""

from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from modalities.draws import Draws
from modalities.sensor.masking import choose, resample, step_grid
from modalities.spec import Config, Signal


class CropResize(Config):
    """A random part of the window, stretched back to the window's length or left as short as it is."""

    keeps_time: ClassVar[bool] = False
    kind: Literal["crop_resize"] = "crop_resize"
    """Random crop."""
    min_fraction: float = Field(default=0.6, gt=0, le=1)
    """Shortest part, as a share of the observed length; each sample draws from it to 1."""
    resize: bool = True
    """Whether the part is stretched to the old length, which changes its speed; otherwise the rest is unobserved."""
    chance: float = Field(default=1.0, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        steps, length, inside = step_grid(signal)
        part = (draws.uniform(1, low=self.min_fraction) * length).ceil().clamp(min=1)
        start = (draws.uniform(1) * (length - part + 1)).floor()
        if self.resize:
            positions = start + steps * (part - 1) / (length - 1).clamp(min=1)
        else:
            positions, inside = start + steps, inside & (steps < part)
        positions = torch.minimum(positions, length - 1)
        values, mask = resample(signal, positions, inside)
        return choose(signal, values, mask, draws=draws, chance=self.chance)


class TimeWarp(Config):
    """Smoothly varying speed: a monotone map of the observed length onto itself."""

    keeps_time: ClassVar[bool] = False
    kind: Literal["time_warp"] = "time_warp"
    """Smooth change of speed."""
    strength: float = Field(default=0.3, ge=0)
    """Deviation of the logarithm of the speed at each knot."""
    knots: int = Field(default=4, ge=2)
    """Moments at which the speed is drawn; linear in between."""
    chance: float = Field(default=1.0, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        steps, length, inside = step_grid(signal)
        where = (steps / (length - 1).clamp(min=1)).clamp(max=1) * (self.knots - 1)
        speed = _interpolate(draws.normal(self.knots, std=self.strength), where).exp() * inside
        passed = speed.cumsum(dim=1) - speed[:, :1]
        last = passed.gather(1, (length - 1).long()).clamp(min=1e-6)
        positions = torch.minimum(passed / last * (length - 1), length - 1)
        values, mask = resample(signal, positions, inside)
        return choose(signal, values, mask, draws=draws, chance=self.chance)


def _interpolate(knots: Tensor, where: Tensor) -> Tensor:
    """Knot heights (B, K) at fractional knot numbers (B, T) -> (B, T)."""
    low = where.floor().long().clamp(0, knots.shape[1] - 2)
    share = where - low
    return knots.gather(1, low) * (1 - share) + knots.gather(1, low + 1) * share


class Permutation(Config):
    """Cuts the observed length into equal segments and shuffles them."""

    keeps_time: ClassVar[bool] = False
    kind: Literal["permutation"] = "permutation"
    """Shuffled segments."""
    max_segments: int = Field(default=4, ge=2)
    """Most segments; each sample draws from 2 to it."""
    chance: float = Field(default=1.0, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        steps, length, inside = step_grid(signal)
        segments = draws.integers(2, self.max_segments + 1, 1)
        number = (steps * segments / length).floor().clamp(max=self.max_segments - 1).long()
        order = draws.uniform(self.max_segments).gather(1, number.expand(len(signal), -1))
        source = torch.where(inside, order, torch.full_like(order, 2.0)).argsort(dim=1, stable=True)
        values, mask = resample(signal, source.float(), inside)
        return choose(signal, values, mask, draws=draws, chance=self.chance)


class Reversal(Config):
    """The observed length backwards."""

    keeps_time: ClassVar[bool] = False
    kind: Literal["reversal"] = "reversal"
    """Backwards."""
    chance: float = Field(default=0.5, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        steps, length, inside = step_grid(signal)
        values, mask = resample(signal, torch.where(inside, length - 1 - steps, steps), inside)
        return choose(signal, values, mask, draws=draws, chance=self.chance)


class TimeShift(Config):
    """Rolls the window in time, as a periodic movement seen from another moment."""

    keeps_time: ClassVar[bool] = False
    kind: Literal["time_shift"] = "time_shift"
    """Circular shift."""
    max_fraction: float = Field(default=0.5, gt=0, le=1)
    """Largest shift either way, as a share of the observed length."""
    chance: float = Field(default=1.0, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        steps, length, inside = step_grid(signal)
        shift = (draws.uniform(1, low=-self.max_fraction, high=self.max_fraction) * length).round()
        positions = torch.where(inside, torch.remainder(steps + shift, length), steps)
        values, mask = resample(signal, positions, inside)
        return choose(signal, values, mask, draws=draws, chance=self.chance)
