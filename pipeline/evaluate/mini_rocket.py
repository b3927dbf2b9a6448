"""MiniRocket features of a sensor stream: a control that an encoder has to beat.

Dempster et al., arXiv 2012.08791, for several channels as its authors extend it: 84 kernels of length 9 with six
weights of -1 and three of 2, dilated, each over a random subset of channels. Features are shares of time in which a
convolution exceeds a bias; the biases are quantiles of convolutions of training series.

Beyond the paper: channels are standardised by training rows (a large unit would drown the others), gaps are
interpolated, and a sample counts over its own length alone, after which it is 0.
Axes: B samples, C channels, T steps, K kernels, F features.
"""

from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from modalities.spec import Config, Signal
from pipeline.errors import DataError
from pipeline.evaluate import masked_series as series

_LENGTH = 9
_HALF = _LENGTH // 2
_TRIPLES = tuple(combinations(range(_LENGTH), 3))
_MAX_DILATIONS = 32
_GOLDEN = (5**0.5 + 1) / 2
_CONSTANT = 1e-6  # a deviation below this share of the mean is float32 rounding
_TILE = 64  # samples whose convolutions fit a cache
Floats = NDArray[np.float32]


class MiniRocketConfig(Config):
    """MiniRocket as a further control of the probes."""

    num_features: int = Field(default=9996, ge=len(_TRIPLES))
    """Features of each sensor stream; a multiple of the 84 kernels, or what is above one is left out."""


@dataclass(frozen=True)
class _Dilated:
    """Kernels of one dilation. weights: (9, C, K), 0 for channels that a kernel does not read. biases: (n, K). padded:
    (K,) bool, whether a kernel counts where it reaches over the ends."""

    dilation: int
    weights: Floats
    biases: Floats
    padded: NDArray[np.bool_]

    def shares(self, x: Floats, lengths: NDArray[np.int64]) -> Floats:
        """Share of a sample's counted steps above each bias, 0 where none counts; x (T, B, C) -> (B, K * n)."""
        windows = np.concatenate(_shifted(x, self.dilation), axis=2)
        values = windows @ self.weights.reshape(-1, len(_TRIPLES))
        reach = np.where(self.padded, 0, _HALF * self.dilation)
        steps, last = np.arange(len(x))[:, None, None], lengths[:, None] - reach
        values[(steps < reach) | (steps >= last)] = -np.inf
        above = [np.add.reduce((values > bias).view(np.uint8), axis=0, dtype=np.int32) for bias in self.biases]
        counted = np.maximum(last - reach, 1)
        return (np.stack(above, axis=2) / counted[:, :, None]).reshape(len(lengths), -1).astype(np.float32)


@dataclass(frozen=True)
class MiniRocket:
    """Signal (B, C, T) -> (B, F) float32. mean, scale: (C,) of observed training values."""

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    dilated: tuple[_Dilated, ...]

    @classmethod
    def fit(cls, signal: Signal, config: MiniRocketConfig, *, seed: int) -> "MiniRocket":
        """From training samples. Raises DataError where none of them has the stream."""
        (x, m), present = series.of_signal(signal), signal.present.cpu().numpy()
        x, m = x[present], m[present]
        if len(x) == 0:
            raise DataError("no training sample has the stream that MiniRocket is to read", code="DATA_FIELD")
        mean, scale = _moments(x, m)
        known, lengths = _standardised(x, m, mean, scale), series.lengths(m)
        rng = np.random.default_rng(seed)
        dilations, counts = dilations_of(int(np.median(lengths)), config.num_features)
        dilated, done = [], 0
        for number, (dilation, count) in enumerate(zip(dilations.tolist(), counts.tolist(), strict=True)):
            weights = _weights(x.shape[1], rng)
            chosen = rng.integers(len(x), size=len(_TRIPLES))
            outputs = sum(
                np.einsum("tkc,ck->kt", part, taps)
                for part, taps in zip(_shifted(known[:, chosen], dilation), weights, strict=True)
            )
            levels = ((done + np.arange(1, count * len(_TRIPLES) + 1)) * _GOLDEN % 1).reshape(-1, count)
            rows = zip(np.asarray(outputs), lengths[chosen].tolist(), levels, strict=True)
            biases = np.stack([np.quantile(row[:length], level) for row, length, level in rows], axis=1)
            padded = (number + np.arange(len(_TRIPLES))) % 2 == 0
            dilated.append(_Dilated(dilation, weights, biases.astype(np.float32), padded))
            done += levels.size
        return cls(mean, scale, tuple(dilated))

    def __call__(self, signal: Signal) -> Floats:
        """Features of every sample; rows of absent samples are 0."""
        x, m = series.of_signal(signal)
        known, lengths = _standardised(x, m, self.mean, self.scale), series.lengths(m)
        tiles = [slice(start, start + _TILE) for start in range(0, len(x), _TILE)]
        rows = [[each.shares(known[:, tile], lengths[tile]) for each in self.dilated] for tile in tiles]
        shares = np.concatenate([np.concatenate(parts, axis=1) for parts in rows])
        return shares * signal.present.cpu().numpy()[:, None]


def dilations_of(length: int, num_features: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Dilations, from 1 to where a kernel spans the length, and the biases of each kernel at each of them.

    >>> dilations_of(128, 84 * 6)
    (array([ 1,  3,  5,  9, 15]), array([2, 1, 1, 1, 1]))
    """
    each = num_features // len(_TRIPLES)
    tried = min(each, _MAX_DILATIONS)
    furthest = np.log2(max(length - 1, _LENGTH - 1) / (_LENGTH - 1))
    exponents = np.logspace(0, furthest, tried, base=2).astype(np.int64)
    dilations, counts = np.unique(exponents, return_counts=True)
    counts = (counts * (each / tried)).astype(np.int64)
    counts += np.arange(len(counts)) < (missing := each - counts.sum()) % len(counts)
    return dilations, counts + missing // len(counts)


def _weights(channels: int, rng: np.random.Generator) -> Floats:
    """(9, C, K): a kernel reads 2^u channels, u uniform up to where all of at most nine are read."""
    most = np.log2(min(channels, _LENGTH) + 1)
    weights = np.zeros((_LENGTH, channels, len(_TRIPLES)), np.float32)
    for kernel, triple in enumerate(_TRIPLES):
        read = rng.choice(channels, size=int(2 ** rng.uniform(0, most)), replace=False)
        weights[:, read, kernel] = -1.0
        weights[np.array(triple)[:, None], read, kernel] = 2.0
    return weights


def _shifted(x: Floats, dilation: int) -> list[Floats]:
    """What each of the nine weights meets at every step of x (T, B, C); 0 beyond the ends."""
    reach = _HALF * dilation
    wide = np.pad(x, ((reach, reach), (0, 0), (0, 0)))
    return [wide[tap * dilation : tap * dilation + len(x)] for tap in range(_LENGTH)]


def _moments(x: series.Series, m: series.Mask) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean and deviation (C,) of observed values; an infinite one where a channel is constant."""
    count = np.maximum(m.sum(axis=(0, 2)), 1)
    mean = x.sum(axis=(0, 2)) / count
    centred = np.where(m, x - mean[:, None], 0.0)
    deviation = np.sqrt((centred**2).sum(axis=(0, 2)) / count)
    return mean, np.where(deviation > _CONSTANT * np.abs(mean), deviation, np.inf)


def _standardised(x: series.Series, m: series.Mask, mean: NDArray[np.float64], scale: NDArray[np.float64]) -> Floats:
    """(T, B, C) without gaps; 0 after a sample's own length and in channels that it lacks."""
    inside = np.arange(x.shape[2]) < series.lengths(m)[:, None, None]
    known = (series.filled(x, m) - mean[:, None]) / scale[:, None]
    whole = np.where(inside & m.any(axis=2, keepdims=True), known, 0.0)
    return np.ascontiguousarray(whole.transpose(2, 0, 1), dtype=np.float32)
