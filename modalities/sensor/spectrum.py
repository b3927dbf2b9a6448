"""Amplitude spectrum of sensor series, read by a network along frequency instead of time.

Axes: B samples, C channels, T time steps, F frequencies.
"""

from collections.abc import Sequence
from typing import Annotated, Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from modalities.sensor.codec import SensorSchema
from modalities.sensor.layers import Normalize
from modalities.sensor.masking import window_moments
from modalities.sensor.patch_transformer import PatchTransformer
from modalities.sensor.resnet import ResNet
from modalities.spec import Config, Encoded, Signal, Statistics


class Spectrum(Config):
    """A network over frequencies: the frequency encoder of time-frequency consistency (TF-C, arXiv 2206.08496)."""

    kind: Literal["spectrum"] = "spectrum"
    """Amplitude spectrum of the series, then a network. Positions of its sequence are frequencies, not moments."""
    network: Annotated[ResNet | PatchTransformer, Field(discriminator="kind")] = ResNet()
    """Network that reads the spectrum as the others read a series."""

    def build(self, schema: SensorSchema, statistics: Statistics) -> "SpectrumEncoder":
        return SpectrumEncoder(self, schema, statistics)


class SpectrumEncoder(nn.Module):
    """Signal (B, C, T) -> spectrum (B, C, F) -> Encoded, whose sequence runs over frequencies."""

    def __init__(self, config: Spectrum, schema: SensorSchema, statistics: Statistics) -> None:
        super().__init__()
        channels = len(schema.channels)
        self.readings, self.steps = Normalize(channels, statistics, ()), schema.max_steps
        of_scores: Statistics = {"mean": [0.0] * channels, "std": [1.0] * channels}
        self.network = config.network.build(schema, of_scores)
        self.width = self.network.width

    def forward(self, signal: Signal) -> Encoded:
        scores, mask = self.readings.scores(signal)
        with torch.autocast(scores.device.type, enabled=False):
            values, seen = amplitude_spectrum(scores, mask, steps=self.steps)
        return self.network(Signal(values, seen, signal.present))

    def blocks(self) -> Sequence[nn.Module]:
        return self.network.blocks()


def amplitude_spectrum(scores: Tensor, mask: Tensor, *, steps: int) -> tuple[Tensor, Tensor]:
    """Logarithmic amplitudes log(1 + |X_k| / sqrt(n)) (B, C, F) and their mask; X_k is the discrete Fourier transform
    over `steps` steps, F = steps // 2 + 1, and n counts the observed readings, so that white noise has the same
    amplitude in a short window, or one with gaps, as in a full one.

    scores (B, C, T): standard scores, with a mask. Frequency k is k / steps cycles per step in every window: short ones
    are filled up, as gaps are, with their mean, which so does not leak from frequency 0 into the others.
    A channel without any reading has no spectrum.
    """
    count = mask.sum(dim=2, keepdim=True)
    root = count.clamp(min=1).sqrt()
    mean, _ = window_moments(scores, mask)
    around = torch.fft.rfft((scores - mean) * mask, n=steps, dim=2).abs() / root
    amplitudes = torch.cat([mean.abs() * root, around[:, :, 1:]], dim=2)
    seen = (count > 0).expand_as(amplitudes)
    return torch.where(seen, amplitudes.log1p(), 0.0), seen
