"""Augmenters of the tsaug library as one transform of a sensor stream.

tsaug 0.2.1 needs care: with a fixed seed it repeats itself, its `prob` mask and its parameters share one generator,
gaps spoil whole channels, and short series fail in obscure ways. So every step is built anew for each call with its own
seed, chosen samples are drawn here, gaps are bridged and hidden again, and series of one length go in together.
"""

import functools
import math
import warnings
from abc import abstractmethod
from types import ModuleType
from typing import Annotated, ClassVar, Literal, Protocol

import numpy as np
import torch
from pydantic import Field, field_validator
from torch import Tensor

from modalities.draws import Draws
from modalities.sensor.masking import observed_mask, observed_steps
from modalities.spec import Config, Signal

_SEEN = 1000  # tsaug rounds a mask it moves; scaled up, only fully observed entries still reach this


class _Augmenter(Protocol):
    def augment(
        self,
        X: np.ndarray,
        Y: np.ndarray | None = None,  # the library's names
    ) -> tuple[np.ndarray, np.ndarray]: ...


@functools.cache
def _library() -> ModuleType:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it imports scipy.ndimage.filters
        import tsaug
    return tsaug


class _Step(Config):
    """What all steps share."""

    keeps_time: ClassVar[bool] = True
    shortest: ClassVar[int] = 1
    """Fewest steps the augmenter can work on; shorter series pass unchanged."""
    chance: float = Field(default=1.0, gt=0, le=1)
    """Share of samples that are changed."""

    @abstractmethod
    def augmenter(self, steps: int, seed: int) -> _Augmenter:
        """The library's object for series of this length."""


class AddNoise(_Step):
    """Gaussian noise, relative to the range of each channel: a constant channel gets none."""

    kind: Literal["add_noise"] = "add_noise"
    """Additive noise."""
    scale: float = Field(default=0.05, ge=0)
    """Deviation as a share of the channel's range."""

    def augmenter(self, steps: int, seed: int) -> _Augmenter:
        return _library().AddNoise(scale=self.scale, seed=seed)


class Convolve(_Step):
    """Smoothing by a window."""

    kind: Literal["convolve"] = "convolve"
    """Smoothing."""
    window: Literal["hann", "boxcar", "triang", "blackman"] = "hann"
    """Form of the window."""
    size: int = Field(default=7, ge=3)
    """Length of the window in steps, odd: an even one would move the series."""

    @field_validator("size")
    @classmethod
    def _odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError("must be odd")
        return size

    def augmenter(self, steps: int, seed: int) -> _Augmenter:
        return _library().Convolve(window=self.window, size=self.size, seed=seed)


class Crop(_Step):
    """A part of the series, stretched to its full length."""

    keeps_time: ClassVar[bool] = False
    shortest: ClassVar[int] = 3
    kind: Literal["crop"] = "crop"
    """Part of the series."""
    min_fraction: float = Field(default=0.6, gt=0, le=1)
    """Shortest part, as a share of the series; the longest is all of it."""

    def augmenter(self, steps: int, seed: int) -> _Augmenter:
        sizes = list(range(max(2, math.ceil(self.min_fraction * steps)), steps + 1))
        return _library().Crop(size=sizes, resize=steps, seed=seed)


class Drift(_Step):
    """A slow smooth drift, relative to the range of each channel: a constant channel gets none."""

    shortest: ClassVar[int] = 2
    kind: Literal["drift"] = "drift"
    """Slow drift."""
    max_drift: float = Field(default=0.2, gt=0)
    """Largest departure as a share of the channel's range; each channel draws from 0 to it."""
    points: int = Field(default=3, ge=1)
    """Anchor points of the drift between start and end."""

    def augmenter(self, steps: int, seed: int) -> _Augmenter:
        return _library().Drift(max_drift=(0.0, self.max_drift), n_drift_points=self.points, seed=seed)


class Dropout(_Step):
    """Readings lost and filled with the one before, as a stuck sensor does."""

    shortest: ClassVar[int] = 2
    kind: Literal["dropout"] = "dropout"
    """Stuck readings."""
    rate: float = Field(default=0.05, gt=0, le=1)
    """Share of steps that are lost."""
    size: int = Field(default=1, ge=1)
    """Steps lost in a row."""

    def augmenter(self, steps: int, seed: int) -> _Augmenter:
        return _library().Dropout(p=self.rate, size=min(self.size, steps - 1), seed=seed)


class Pool(_Step):
    """Lower resolution in time: runs of steps become their mean, largest or smallest reading."""

    kind: Literal["pool"] = "pool"
    """Lower time resolution."""
    size: int = Field(default=2, ge=2)
    """Steps of a run."""
    how: Literal["ave", "max", "min"] = "ave"
    """What a run becomes."""

    def augmenter(self, steps: int, seed: int) -> _Augmenter:
        return _library().Pool(kind=self.how, size=min(self.size, steps), seed=seed)


class Quantize(_Step):
    """Lower resolution in value: levels evenly spaced over the channel's range.

    The library's other ways are left out: `quantile` takes percentiles a hundredth of what it means and flattens the
    series, `kmeans` fails with current scikit-learn.
    """

    kind: Literal["quantize"] = "quantize"
    """Lower value resolution."""
    levels: int = Field(default=16, ge=2)
    """Number of levels."""

    def augmenter(self, steps: int, seed: int) -> _Augmenter:
        return _library().Quantize(n_levels=self.levels, how="uniform", seed=seed)


class Reverse(_Step):
    """The series backwards."""

    keeps_time: ClassVar[bool] = False
    kind: Literal["reverse"] = "reverse"
    """Backwards."""

    def augmenter(self, steps: int, seed: int) -> _Augmenter:
        return _library().Reverse(seed=seed)


class TimeWarp(_Step):
    """Random smooth speed changes."""

    keeps_time: ClassVar[bool] = False
    shortest: ClassVar[int] = 2
    kind: Literal["time_warp"] = "time_warp"
    """Speed changes."""
    changes: int = Field(default=3, ge=1)
    """Number of speed changes."""
    max_ratio: float = Field(default=2.0, gt=1)
    """Largest speed over smallest speed."""

    def augmenter(self, steps: int, seed: int) -> _Augmenter:
        return _library().TimeWarp(n_speed_change=self.changes, max_speed_ratio=self.max_ratio, seed=seed)


AnyTsaugStep = Annotated[
    AddNoise | Convolve | Crop | Drift | Dropout | Pool | Quantize | Reverse | TimeWarp,
    Field(discriminator="kind"),
]


class TsaugRecipe(Config):
    """Steps of the tsaug library, in order. Seeded per micro-batch; on the CPU, one thread."""

    kind: Literal["tsaug"] = "tsaug"
    """Steps of the tsaug library."""
    steps: tuple[AnyTsaugStep, ...] = Field(min_length=1)
    """Augmenters, in order."""

    @property
    def keeps_time(self) -> bool:
        """True when every step leaves moments where they are."""
        return all(step.keeps_time for step in self.steps)

    def __call__(self, signal: Signal, draws: Draws) -> Signal:
        mask = observed_mask(signal)
        device = signal.values.device
        values = signal.values.detach().to("cpu", torch.float32, copy=True).numpy()
        seen, lengths = mask.cpu().numpy().copy(), (observed_steps(mask) * signal.present).cpu()
        bridge_gaps(values, seen, lengths)
        for position, step in enumerate(self.steps):
            own = draws.fork(f"tsaug/{position}")
            chosen = (own.uniform() < step.chance).cpu()
            for length in lengths[chosen].unique().tolist():
                if length >= step.shortest:
                    rows = (chosen & (lengths == length)).nonzero().squeeze(1)
                    seed = own.fork("parameters").select(rows.to(own.keys.device)).seed()
                    _apply(step, values, seen, rows=rows.numpy(), length=length, seed=seed)
        changed = torch.from_numpy(values * seen).to(device)
        return Signal(changed, torch.from_numpy(seen).to(device), signal.present)


def _apply(step: _Step, values: np.ndarray, seen: np.ndarray, *, rows: np.ndarray, length: int, seed: int) -> None:
    """Change rows of values and seen (B, C, T) in place, in their first `length` steps."""
    series = values[rows, :, :length].swapaxes(1, 2)
    flags = seen[rows, :, :length].swapaxes(1, 2) * _SEEN
    changed, moved = step.augmenter(length, seed).augment(series, flags)
    values[rows, :, :length] = changed.swapaxes(1, 2)
    seen[rows, :, :length] = moved.swapaxes(1, 2) >= _SEEN


def bridge_gaps(values: np.ndarray, seen: np.ndarray, lengths: Tensor) -> None:
    """Fill unobserved entries of (B, C, T) in place, linearly in time; a channel that was never observed becomes 0."""
    steps = np.arange(values.shape[2])
    inside = steps[None] < lengths.numpy()[:, None]
    for row, channel in np.argwhere((~seen & inside[:, None]).any(axis=2)):
        known = seen[row, channel]
        series = values[row, channel]
        values[row, channel] = np.interp(steps, steps[known], series[known]) if known.any() else 0.0
