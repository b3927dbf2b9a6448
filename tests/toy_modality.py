"""Toy kinds of signals: the pipeline must work with any codec and encoder that keep the contract."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import torch
from torch import nn

from modalities.spec import Encoded, Signal, SignalError, Statistics

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

    def decode(self, payload: bytes) -> np.ndarray:
        if len(payload) % (4 * CHANNELS):
            raise SignalError("DATA_SHAPE", "no whole number of steps", got=len(payload))
        return np.frombuffer(payload, "<f4").reshape(CHANNELS, -1)

    def collate(self, values: Sequence[np.ndarray | None]) -> Signal:
        padded = torch.full((len(values), CHANNELS, MAX_STEPS), torch.nan)
        for row, value in enumerate(values):
            if value is not None:
                padded[row, :, : value.shape[1]] = torch.tensor(value)
        return Signal(padded.nan_to_num(0.0), ~padded.isnan(), torch.tensor([v is not None for v in values]))

    def statistics(self, payloads: Iterable[bytes]) -> Statistics:
        series = np.concatenate([self.decode(payload) for payload in payloads], axis=1)
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

    def decode(self, payload: bytes) -> np.ndarray:
        words = json.loads((self.folder / "words.json").read_text())
        return np.array([words.get(word, 0) for word in payload.decode().split()], np.int64)

    def collate(self, values: Sequence[np.ndarray | None]) -> Signal:
        rows = [torch.tensor([] if value is None else value, dtype=torch.int64) for value in values]
        padded = nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=-1)
        return Signal(padded.clamp(min=0), padded >= 0, torch.tensor([value is not None for value in values]))

    def statistics(self, payloads: Iterable[bytes]) -> Statistics:
        return {"words": [float(sum(len(self.decode(payload)) for payload in payloads))]}

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
