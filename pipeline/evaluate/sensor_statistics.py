"""Hand-made features of a sensor stream: the control a learned encoder has to beat.

In the spirit of the 561 features of Anguita et al. (ESANN 2013, doi 10.24432/C54S4K): moments, quantiles, spectra,
magnitudes of triples, auto- and cross-correlations, and segment statistics that keep the coarse course of time.
"""

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from modalities.spec import Config, Signal
from pipeline.evaluate import masked_series as series

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
_LAGS = (1, 2, 3, 4, 6, 8, 12, 16, 24, 32)


class SensorStatistics(Config):
    """Signal (B, C, T) -> (B, F) float32, aware of masks and of each sample's own length."""

    bins: int = Field(default=32, ge=1)
    """Bands of the log spectrum of each channel."""
    segments: tuple[int, ...] = (4,)
    """Partitions of time whose parts give a mean and a deviation per channel."""
    frames: int = Field(default=0, ge=0)
    """Moments at which each channel is resampled; useful for slow streams such as skeletons. 0 is none."""
    triples: bool = True
    """Whether consecutive channels 3j, 3j+1, 3j+2 are axes of one vector whose magnitude is a further channel."""
    centre: int | None = Field(default=None, ge=0)
    """The triple subtracted from all triples (the hip of a skeleton). None subtracts nothing."""
    max_correlated: int = Field(default=24, ge=0)
    """Cross-channel correlations are left out where there are more channels than this: their number is quadratic."""

    def __call__(self, signal: Signal) -> NDArray[np.float32]:
        """Features of every sample; rows of absent samples are 0."""
        x, m = series.of_signal(signal)
        if self.triples and x.shape[1] % 3 == 0:
            x, m = _with_magnitudes(*_centred(x, m, self.centre))
        columns = [*self._per_channel(np.where(m, x, 0.0), m)]
        if x.shape[1] <= self.max_correlated:
            columns.append(series.correlations(x, m))
        features = np.concatenate([column.reshape(len(x), -1) for column in columns], axis=1)
        return (features * signal.present.cpu().numpy()[:, None]).astype(np.float32)

    def _per_channel(self, x: series.Series, m: series.Mask) -> list[series.Series]:
        columns = [
            series.moments(x, m),
            series.mean_absolute_difference(x, m),
            series.quantiles(x, m, _QUANTILES),
            series.log_deviations(x, m),
            series.log_spectrum(x, m, self.bins),
            series.autocorrelations(x, m, _LAGS),
        ]
        columns += [series.segment_statistics(x, m, segments) for segments in self.segments]
        if self.frames:
            columns.append(series.resampled(x, m, self.frames))
        return columns


def _centred(x: series.Series, m: series.Mask, centre: int | None) -> tuple[series.Series, series.Mask]:
    """Each triple relative to triple `centre`, which itself stays."""
    if centre is None:
        return x, m
    shape = (len(x), -1, 3, x.shape[2])
    triples, seen = x.reshape(shape), m.reshape(shape)
    others = np.arange(triples.shape[1])[:, None, None] != centre
    moved = np.where(others, triples - triples[:, centre : centre + 1], triples)
    known = np.where(others, seen & seen[:, centre : centre + 1], seen)
    return moved.reshape(x.shape), known.reshape(x.shape)


def _with_magnitudes(x: series.Series, m: series.Mask) -> tuple[series.Series, series.Mask]:
    """One further channel per triple: its Euclidean norm, observed where all three axes are."""
    shape = (len(x), -1, 3, x.shape[2])
    triples, seen = x.reshape(shape), m.reshape(shape)
    magnitudes = np.sqrt((triples**2).sum(axis=2))
    return np.concatenate([x, magnitudes], axis=1), np.concatenate([m, seen.all(axis=2)], axis=1)
