"""Step labels on disk: one npy file (format 1.0) per sample, int16, shape (steps,), -1 where unknown.

Axes: B samples, T steps of the longest series of the stream.
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from modalities.spec import Signal, SignalError, Statistics, decode_rows
from pipeline.data.manifest import Manifest
from pipeline.data.step_labels import UNKNOWN

_START = 128  # header of any number of steps that a stream may have
_MAGIC = b"\x93NUMPY\x01\x00" + (_START - 10).to_bytes(2, "little")
_HEADER = re.compile(rb"\{'descr': '([^']{1,40})', 'fortran_order': False, 'shape': \((\d{1,7}),\), \} *\n")


class StepCodec:
    """npy files <-> class numbers below num_classes of at most max_steps steps. A `Codec`, for readers and `verify`."""

    extensions: tuple[str, ...] = ("npy",)

    def __init__(self, num_classes: int, max_steps: int) -> None:
        self.num_classes, self.max_steps = num_classes, max_steps

    def encode(self, value: np.ndarray | str | bytes) -> bytes:
        """Serialise class numbers (T,). Raises SignalError where they are none."""
        if not isinstance(value, np.ndarray) or value.dtype != np.int16:
            got = str(value.dtype) if isinstance(value, np.ndarray) else type(value).__name__
            raise SignalError("DATA_DTYPE", "step labels are an array of int16", expected="int16", got=got)
        payload = _header(len(value)) + value.astype("<i2").tobytes()
        self.check(payload)
        return payload

    def decode(self, payloads: Sequence[bytes | None]) -> Signal:
        """values (B, T) int64, -1 where unknown; mask (B, T), True for the steps that a sample has, known or not."""
        values = torch.full((len(payloads), self.max_steps), UNKNOWN, dtype=torch.int64)
        mask = torch.zeros(values.shape, dtype=torch.bool)

        def put(row: int, payload: bytes) -> None:
            numbers = self._numbers(payload)
            values[row, : len(numbers)] = torch.from_numpy(numbers.astype(np.int64))
            mask[row, : len(numbers)] = True

        present = decode_rows(payloads, put)
        return Signal(values, mask, present)

    def check(self, payload: bytes) -> None:
        """Raise SignalError for a payload that `encode` would not write."""
        self._numbers(payload)

    def statistics(self, payloads: Iterable[bytes]) -> Statistics:
        """None: nothing is normalised."""
        return {}

    def fit(self, payloads: Iterable[bytes]) -> dict[str, bytes]:
        """Nothing: no files are learned."""
        return {}

    def _numbers(self, payload: bytes) -> np.ndarray:
        steps = _steps(payload)
        if not 1 <= steps <= self.max_steps:
            raise SignalError("DATA_SHAPE", "wrong number of steps", expected=f"1..{self.max_steps}", got=steps)
        if len(payload) != _START + 2 * steps:
            raise SignalError(
                "DATA_TRUNCATED", "npy data have the wrong size", expected=_START + 2 * steps, got=len(payload)
            )
        numbers = np.frombuffer(payload, "<i2", offset=_START)
        wrong = (numbers < UNKNOWN) | (numbers >= self.num_classes)
        if wrong.any():
            step = int(wrong.argmax())
            got, expected = {"step": step, "class": int(numbers[step])}, f"{UNKNOWN}..{self.num_classes - 1}"
            raise SignalError("DATA_LABEL", "a step has an unknown class", expected=expected, got=got)
        return numbers


def step_codecs(manifest: Manifest) -> dict[str, StepCodec]:
    """The codec of every step label of a data set."""
    return {name: StepCodec(len(e.classes), manifest.max_steps(e.stream)) for name, e in manifest.step_labels.items()}


def num_steps(signal: Signal) -> np.ndarray:
    """Steps (B,) up to the last one that a sample has: of step labels, or observed ones of a series."""
    assert signal.mask is not None  # noqa: S101 - series and step labels have one
    seen = signal.mask if signal.mask.ndim == 2 else signal.mask.any(dim=1)
    return (seen * torch.arange(1, seen.shape[1] + 1)).amax(dim=1).numpy()


def uncovered(labels: Signal, series: Signal) -> np.ndarray:
    """(B,) bool, True for samples whose labels end before their series."""
    return labels.present.numpy() & (num_steps(labels) < num_steps(series))


def _header(steps: int) -> bytes:
    text = f"{{'descr': '<i2', 'fortran_order': False, 'shape': ({steps},), }}".encode()
    return _MAGIC + text.ljust(_START - len(_MAGIC) - 1) + b"\n"


def _steps(payload: bytes) -> int:
    """Of the one header that `encode` writes. Never evaluates it."""
    found = _HEADER.fullmatch(payload, len(_MAGIC), _START) if payload.startswith(_MAGIC) else None
    if found is None:
        raise SignalError("DATA_NPY", "no npy file of step labels", expected=_MAGIC.hex(), got=payload[:16].hex())
    if found[1] != b"<i2":
        got = found[1].decode("ascii", "replace")
        raise SignalError("DATA_DTYPE", "stored step labels must be int16", expected="<i2", got=got)
    return int(found[2])
