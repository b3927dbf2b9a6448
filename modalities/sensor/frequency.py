"""Transforms of single frequencies of series, which leave every moment where it is."""

from typing import ClassVar, Literal

import torch
from pydantic import Field

from modalities.draws import Draws
from modalities.sensor.masking import choose, observed_mask, window_moments
from modalities.spec import Config, Signal

_ROUNDING = 1e-6  # of the largest amplitude: what is below is noise of the transform, which has no phase


class FrequencyPerturbation(Config):
    """Removes some frequencies of every channel and strengthens others (TF-C, arXiv 2206.08496, section 4)."""

    keeps_time: ClassVar[bool] = True
    kind: Literal["frequency_perturbation"] = "frequency_perturbation"
    """Missing and additional frequencies; the mean stays."""
    removed: float = Field(default=0.1, ge=0, lt=1)
    """Chance of each frequency to be removed."""
    added: float = Field(default=0.1, ge=0, le=1)
    """Chance of each frequency to get a larger amplitude."""
    strength: float = Field(default=0.1, ge=0)
    """Largest addition relative to the largest amplitude of the channel; each frequency draws from 0 to it."""
    chance: float = Field(default=1.0, gt=0, le=1)
    """Share of samples that are changed."""

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        mask = observed_mask(signal)
        mean, _ = window_moments(signal.values, mask)
        spectrum = torch.fft.rfft((signal.values - mean) * mask, dim=2)
        shape, amplitude = spectrum.shape[1:], spectrum.abs()
        kept = draws.uniform(*shape) >= self.removed
        grown = draws.uniform(*shape) < self.added
        peak = amplitude.amax(dim=2, keepdim=True)
        more = draws.uniform(*shape, high=self.strength) * peak
        there = amplitude > _ROUNDING * peak
        phase = torch.where(there, spectrum / torch.where(there, amplitude, 1.0), 1.0)
        spectrum = spectrum * kept + phase * (more * grown)
        spectrum[:, :, 0] = 0  # the mean is added again
        values = torch.fft.irfft(spectrum, n=mask.shape[2], dim=2)
        return choose(signal, values + mean, mask, draws=draws, chance=self.chance)
