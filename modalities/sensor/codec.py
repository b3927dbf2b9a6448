"""Sensor series on disk: one npy file (format 1.0) per sample, float32, C order, shape (channels, steps)."""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field, model_validator

from modalities.spec import Config, Signal, SignalError, Statistics, decode_rows

_MAGIC = b"\x93NUMPY\x01\x00"
_HEADER = re.compile(
    rb"\{'descr': '([^']{1,40})', 'fortran_order': (True|False), 'shape': \(((?:\d{1,12}, ?)*(?:\d{1,12})?)\), ?\} *\n"
)
_STD_FLOOR = 1e-6  # a constant channel normalises to zero instead of dividing by zero


class SensorSchema(Config):
    """Channels, rate and caps of one sensor stream."""

    kind: Literal["sensor"] = "sensor"
    """A regularly sampled series of several channels."""
    channels: tuple[str, ...] = Field(min_length=1)
    """Channel names in stored order."""
    units: tuple[str, ...] = ()
    """Unit of each channel; empty where unknown."""
    rate_hz: float = Field(gt=0)
    """Samples per second."""
    max_steps: int = Field(ge=1, le=1_000_000)
    """Longest series accepted, and the padded length of every batch."""
    nonfinite: Literal["mask", "refuse"] = "mask"
    """`mask`: NaN means unobserved; `refuse`: NaN is an error. Infinity is always an error."""
    limit: float = Field(default=1e12, gt=0)
    """Largest magnitude of a reading, in the channel's unit; what lies beyond has a wrong scale or is damaged."""
    relative_to: int | None = Field(default=None, ge=0)
    """Number of the channel triple (3j, 3j+1, 3j+2) that is subtracted from every other triple when a series is
    stored, such as the hip of a skeleton; it is itself stored relative to its own mean over time. None stores readings
    as they are."""

    @model_validator(mode="after")
    def _consistent(self) -> "SensorSchema":
        if len(set(self.channels)) != len(self.channels):
            raise ValueError("channels must have distinct names")
        if self.units and len(self.units) != len(self.channels):
            raise ValueError(f"units must name {len(self.channels)} units, one per channel; got {len(self.units)}")
        if self.relative_to is not None and (len(self.channels) % 3 or 3 * self.relative_to >= len(self.channels)):
            raise ValueError(f"relative_to must number one of the triples of {len(self.channels)} channels")
        return self


class SensorCodec:
    """npy files <-> float32 series, NaN where unobserved."""

    extensions: tuple[str, ...] = ("npy",)

    def __init__(self, schema: SensorSchema, folder: Path | None = None) -> None:
        self.schema = schema

    def encode(self, value: np.ndarray | str | bytes) -> bytes:
        """Serialise a real-valued (C, T). Raises SignalError where it does not fit the schema or float32."""
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            got = str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__
            raise SignalError("DATA_DTYPE", "a sensor series is an array of real numbers", expected="float32", got=got)
        self._check_shape(value.shape)
        if self.schema.relative_to is not None:
            value = relative_to_triple(value, self.schema.relative_to)
        with np.errstate(over="ignore"):
            series = np.ascontiguousarray(value, dtype="<f4")
        self._check_readings(series)
        return _npy_header(series.shape) + series.tobytes()

    def decode(self, payloads: Sequence[bytes | None]) -> Signal:
        """Series (C, T_i) -> values and mask (B, C, max_steps); padding, NaN and absent samples are masked zeros."""
        alike = self._decode_alike(payloads)
        return self._decode_any(payloads) if alike is None else alike

    def _decode_any(self, payloads: Sequence[bytes | None]) -> Signal:
        values = np.empty((len(payloads), len(self.schema.channels), self.schema.max_steps), np.float32)
        steps = np.zeros(len(payloads), np.int64)

        def put(row: int, payload: bytes) -> None:
            series = self._series(payload)
            steps[row] = length = series.shape[1]
            values[row, :, :length] = series

        present = decode_rows(payloads, put)
        for row in np.flatnonzero(steps < self.schema.max_steps).tolist():
            values[row, :, steps[row] :] = np.nan
        return self._masked(values, steps, present)

    def check(self, payload: bytes) -> None:
        """Raise SignalError for a payload that `encode` would not write."""
        self._check_readings(self._series(payload))

    def statistics(self, payloads: Iterable[bytes]) -> Statistics:
        """`mean` and `std` per channel over observed values, in float64 by merging (Chan et al. 1979).

        A channel that is constant or never observed has std 1e-6 or more and, if never observed, mean 0.
        """
        channels = len(self.schema.channels)
        count, mean, spread = np.zeros(channels), np.zeros(channels), np.zeros(channels)
        for payload in payloads:
            stored = self._series(payload)
            self._check_readings(stored)
            with np.errstate(invalid="ignore"):  # a signalling NaN is a NaN like others
                series = stored.astype(np.float64)
            observed = ~np.isnan(series)
            new = observed.sum(axis=1)
            own = np.where(observed, series, 0.0).sum(axis=1) / np.maximum(new, 1)
            spread += (np.where(observed, series - own[:, None], 0.0) ** 2).sum(axis=1)
            delta, total = own - mean, np.maximum(count + new, 1)
            spread += delta**2 * count * new / total
            mean += delta * new / total
            count += new
        std = np.sqrt(spread / np.maximum(count, 1))
        return {"mean": mean.tolist(), "std": np.maximum(std, _STD_FLOOR).tolist()}

    def fit(self, payloads: Iterable[bytes]) -> dict[str, bytes]:
        """Nothing: a sensor codec learns no files."""
        return {}

    def _series(self, payload: bytes) -> np.ndarray:
        """The stored float32 (C, T), a view; its size is checked against the header before anything is allocated."""
        header = _npy_header_of(payload)
        shape, start = _parse_npy_header(header), len(header)
        self._check_shape(shape)
        expected = start + 4 * shape[0] * shape[1]
        if len(payload) != expected:
            raise SignalError("DATA_TRUNCATED", "npy data have the wrong size", expected=expected, got=len(payload))
        return np.frombuffer(payload, dtype="<f4", offset=start).reshape(shape)

    def _decode_alike(self, payloads: Sequence[bytes | None]) -> Signal | None:
        """All at once where series are equally long and whole; None for any other batch, also for a bad one."""
        present = np.array([payload is not None for payload in payloads])
        found = [payload for payload in payloads if payload is not None]
        if not found or len(set(map(len, found))) > 1:
            return None
        try:
            channels, steps = self._series(found[0]).shape
        except SignalError:
            return None  # the other way names the row
        stored = np.frombuffer(b"".join(found), np.uint8).reshape(len(found), -1)
        start = stored.shape[1] - 4 * channels * steps
        if not (stored[:, :start] == stored[0, :start]).all():
            return None
        series = stored[:, start:].view("<f4").reshape(-1, channels, steps)
        if not -self.schema.limit <= series.min() <= series.max() <= self.schema.limit:  # NaN is not either
            return None
        if len(found) == len(payloads) and steps == self.schema.max_steps:
            values, observed = series.astype(np.float32), np.ones(series.shape, np.bool_)
        else:
            values = np.zeros((len(payloads), channels, self.schema.max_steps), np.float32)
            observed = np.zeros(values.shape, np.bool_)
            values[present, :, :steps], observed[present, :, :steps] = series, True
        return Signal(torch.from_numpy(values), torch.from_numpy(observed), torch.from_numpy(present))

    def _masked(self, values: np.ndarray, steps: np.ndarray, present: torch.Tensor) -> Signal:
        """Readings (B, C, max_steps) with NaN where unobserved, of which `steps` (B,) were stored, as a Signal."""
        observed = np.abs(values) <= self.schema.limit  # False for NaN, infinity and what is out of range
        for row in np.flatnonzero(~observed.all(axis=(1, 2))).tolist():
            try:
                self._check_readings(values[row, :, : steps[row]])
            except SignalError as error:
                error.row = row
                raise
        values[~observed] = 0.0
        return Signal(torch.from_numpy(values), torch.from_numpy(observed), present)

    def _check_shape(self, shape: tuple[int, ...]) -> None:
        expected = [len(self.schema.channels), f"1..{self.schema.max_steps}"]
        if len(shape) != 2:
            raise SignalError("DATA_SHAPE", "a series is (channels, steps)", expected=expected, got=list(shape))
        channels, steps = shape
        if channels != expected[0] and steps == expected[0]:
            message, fix = "channels and steps seem swapped", "transpose it: channels come first"
            raise SignalError("DATA_SHAPE", message, expected=expected, got=list(shape), fix=fix)
        if channels != expected[0]:
            names = list(self.schema.channels)
            raise SignalError("DATA_CHANNELS", "wrong number of channels", expected=names, got=channels)
        if steps == 0:
            raise SignalError("DATA_EMPTY_SERIES", "the series has no steps", expected=expected, got=list(shape))
        if steps > self.schema.max_steps:
            fix = "raise max_steps, or cut the recording into windows"
            raise SignalError("DATA_SHAPE", "the series is too long", expected=expected, got=list(shape), fix=fix)

    def _check_readings(self, series: np.ndarray) -> None:
        """Infinity, magnitudes beyond the limit and, where the schema refuses it, NaN are errors."""
        if (np.abs(series) <= self.schema.limit).all():
            return
        refused = ~np.isfinite(series) if self.schema.nonfinite == "refuse" else np.isinf(series)
        if refused.any():
            got = self._first(refused, series)
            raise SignalError("DATA_NONFINITE", "a reading is not finite", expected="finite", got=got)
        absurd = np.abs(series) > self.schema.limit
        if absurd.any():
            got, limit = self._first(absurd, series), f"<= {self.schema.limit:g}"
            fix = "check the unit and the scale, or raise the schema's limit"
            raise SignalError("DATA_RANGE", "a reading is out of range", expected=limit, got=got, fix=fix)

    def _first(self, where: np.ndarray, series: np.ndarray) -> dict[str, object]:
        channel, step = np.argwhere(where)[0].tolist()
        return {"channel": self.schema.channels[channel], "step": step, "value": str(series[channel, step])}


def relative_to_triple(series: np.ndarray, centre: int) -> np.ndarray:
    """Triples of (3J, T) relative to triple `centre`, and that one relative to its mean over time. float64."""
    triples = series.astype(np.float64).reshape(-1, 3, series.shape[1])
    own = triples[centre]
    seen = ~np.isnan(own)
    mean = np.where(seen, own, 0.0).sum(axis=1) / np.maximum(seen.sum(axis=1), 1)
    moved = triples - own
    moved[centre] = own - mean[:, None]
    return moved.reshape(series.shape)


def _npy_header(shape: tuple[int, ...]) -> bytes:
    text = f"{{'descr': '<f4', 'fortran_order': False, 'shape': ({shape[0]}, {shape[1]}), }}".encode()
    text += b" " * (-(len(_MAGIC) + 2 + len(text) + 1) % 64) + b"\n"
    return _MAGIC + len(text).to_bytes(2, "little") + text


def _npy_header_of(payload: bytes) -> bytes:
    """The first bytes of an npy 1.0 file, up to its data."""
    prefix = len(_MAGIC) + 2
    if not payload.startswith(_MAGIC) or len(payload) < prefix:
        raise SignalError("DATA_NPY", "not an npy 1.0 file", expected=_MAGIC.hex(), got=payload[: len(_MAGIC)].hex())
    start = prefix + int.from_bytes(payload[len(_MAGIC) : prefix], "little")
    if len(payload) < start:
        raise SignalError("DATA_TRUNCATED", "npy header is cut off", expected=start, got=len(payload))
    return payload[:start]


@lru_cache(maxsize=64)  # a data set has few different headers, and parsing one costs more than the rest of a series
def _parse_npy_header(header: bytes) -> tuple[int, ...]:
    """Shape of little-endian float32 in C order. Never evaluates the header."""
    prefix = len(_MAGIC) + 2
    found = _HEADER.fullmatch(header, prefix)
    if found is None:
        raise SignalError("DATA_NPY", "npy header is malformed", got=header[prefix : prefix + 80].hex())
    dtype, order, sizes = found.groups()
    if dtype != b"<f4":
        got = dtype.decode("ascii", "replace")
        raise SignalError("DATA_DTYPE", "stored series must be float32", expected="<f4", got=got)
    if order != b"False":
        raise SignalError("DATA_SHAPE", "stored series must be in C order", expected="C", got="Fortran")
    return tuple(int(size) for size in sizes.replace(b" ", b"").split(b",") if size)
