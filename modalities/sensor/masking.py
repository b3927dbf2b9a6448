"""Masked operations on batches of series. Axes: B samples, C channels, T steps."""

import torch
from torch import Tensor

from modalities.draws import Draws
from modalities.spec import Signal


def observed_mask(signal: Signal) -> Tensor:
    """(B, C, T) bool, made where the signal leaves it out."""
    return torch.ones_like(signal.values, dtype=torch.bool) if signal.mask is None else signal.mask


def observed_steps(mask: Tensor) -> Tensor:
    """(B, C, T) -> (B,) int64: one past the last step at which any channel is observed."""
    steps = torch.arange(1, mask.shape[2] + 1, device=mask.device)
    return (mask.any(dim=1) * steps).amax(dim=1)


def window_moments(values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation (B, C, 1) of each channel inside its own window, over observed entries."""
    count = mask.sum(dim=2, keepdim=True).clamp(min=1)
    mean = (values * mask).sum(dim=2, keepdim=True) / count
    spread = (((values - mean) * mask) ** 2).sum(dim=2, keepdim=True) / count
    return mean, spread.sqrt()


def choose(signal: Signal, values: Tensor, mask: Tensor, *, draws: Draws, chance: float) -> Signal:
    """The changed series for a share `chance` of the samples, the signal as it was for the others; masked entries 0."""
    if chance < 1:
        taken = (draws.uniform() < chance)[:, None, None]
        values = torch.where(taken, values, signal.values)
        mask = torch.where(taken, mask, observed_mask(signal))
    return Signal(torch.where(mask, values, torch.zeros_like(values)), mask, signal.present)


def resample(signal: Signal, positions: Tensor, inside: Tensor) -> tuple[Tensor, Tensor]:
    """Linear interpolation at fractional source positions.

    positions: (B, T) in [0, T - 1]; inside: (B, T) bool, False where the result has no step. Returns values and mask
    (B, C, T); an entry is observed where every neighbour that has weight is.
    """
    values, mask = signal.values, observed_mask(signal)
    low = positions.floor().clamp(0, values.shape[2] - 1).long()
    high = (low + 1).clamp(max=values.shape[2] - 1)
    weight = (positions - low).clamp(0, 1)[:, None]
    low, high = (index[:, None].expand(-1, values.shape[1], -1) for index in (low, high))
    mixed = values.gather(2, low) * (1 - weight) + values.gather(2, high) * weight
    seen = mask.gather(2, low) & (mask.gather(2, high) | (weight == 0))
    return mixed, seen & inside[:, None]


def step_grid(signal: Signal) -> tuple[Tensor, Tensor, Tensor]:
    """Steps (1, T) float, observed length (B, 1) float at least 1, and (B, T) bool inside it."""
    length = observed_steps(observed_mask(signal))[:, None]
    steps = torch.arange(signal.values.shape[2], device=signal.values.device)[None]
    return steps.float(), length.clamp(min=1).float(), steps < length
