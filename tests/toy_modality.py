"""Toy kinds of signals: the pipeline must work with any codec and encoder that keep the contract."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from modalities.spec import Encoded, Signal, SignalError, Statistics, decode_rows

CHANNELS = 2
MAX_STEPS = 64


class ToyCodec:
    """Float32 (2, T) as raw bytes; fits nothing."""

    extensions = ("f32",)

    def encode(self, value: np.ndarray | str | bytes) -> bytes:
        if not isinstance(value, np.ndarray) or len(value) != CHANNELS:
            raise SignalError("DATA_CHANNELS", "wrong channels", expected=CHANNELS)
        if np.isinf(value).any():
            raise SignalError("DATA_NONFINITE", "infinite value", got=int(np.isinf(value).any(axis=0).argmax()))
        return value.astype("<f4").tobytes()

    def decode(self, payloads: Sequence[bytes | None]) -> Signal:
        padded = torch.full((len(payloads), CHANNELS, MAX_STEPS), torch.nan)

        def put(row: int, payload: bytes) -> None:
            series = self._series(payload)
            padded[row, :, : series.shape[1]] = torch.tensor(series)

        present = decode_rows(payloads, put)
        return Signal(padded.nan_to_num(0.0), ~padded.isnan(), present)

    def _series(self, payload: bytes) -> np.ndarray:
        if len(payload) % (4 * CHANNELS):
            raise SignalError("DATA_SHAPE", "no whole number of steps", got=len(payload))
        return np.frombuffer(payload, "<f4").reshape(CHANNELS, -1)

    def check(self, payload: bytes) -> None:
        if len(payload) % (4 * CHANNELS):
            raise SignalError("DATA_SHAPE", "no whole number of steps", got=len(payload))

    def statistics(self, payloads: Iterable[bytes]) -> Statistics:
        series = np.concatenate([self._series(payload) for payload in payloads], axis=1)
        return {"mean": np.nanmean(series, axis=1).tolist()}

    def fit(self, payloads: Iterable[bytes]) -> dict[str, bytes]:
        return {}


class ToyWords:
    """Words as numbers of a vocabulary that `fit` learns: a codec that needs its folder."""

    extensions = ("txt",)

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def encode(self, value: np.ndarray | str | bytes) -> bytes:
        if isinstance(value, np.ndarray):
            raise SignalError("DATA_DTYPE", "no text")
        return value if isinstance(value, bytes) else value.encode()

    def decode(self, payloads: Sequence[bytes | None]) -> Signal:
        words = json.loads((self.folder / "words.json").read_text())
        rows = [[words.get(word, 0) for word in (payload or b"").decode().split()] for payload in payloads]
        tensors = [torch.tensor(row, dtype=torch.int64) for row in rows]
        padded = nn.utils.rnn.pad_sequence(tensors, batch_first=True, padding_value=-1)
        present = torch.tensor([payload is not None for payload in payloads])
        return Signal(padded.clamp(min=0), padded >= 0, present)

    def check(self, payload: bytes) -> None:
        payload.decode()

    def statistics(self, payloads: Iterable[bytes]) -> Statistics:
        return {"words": [float(sum(len(payload.split()) for payload in payloads))]}

    def fit(self, payloads: Iterable[bytes]) -> dict[str, bytes]:
        words = sorted({word for payload in payloads for word in payload.decode().split()})
        return {"words.json": json.dumps({word: number for number, word in enumerate(words, start=1)}).encode()}


class ToyEncoder(nn.Module):
    """(B, 2, T) -> pointwise features, masked mean."""

    width = 8

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Linear(CHANNELS, self.width)

    def forward(self, signal: Signal) -> Encoded:
        sequence = self.body(signal.values.transpose(1, 2))
        mask = torch.ones(sequence.shape[:2], dtype=torch.bool) if signal.mask is None else signal.mask.any(dim=1)
        pooled = (sequence * mask[..., None]).sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        return Encoded(pooled, sequence, mask)

    def blocks(self) -> Sequence[nn.Module]:
        return [self.body]


SCHEMAS = {"imu": {"kind": "toy"}, "note": {"kind": "words"}}


def make_codec(stream: str, folder: Path) -> ToyCodec | ToyWords:
    """Codec of the stream: `note` holds words, any other a series."""
    return ToyWords(folder) if stream == "note" else ToyCodec()
