"""Images on disk: PNG (lossless) or JPEG, resized once at ingest so that reading is cheap and every batch is even."""

import io
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import simplejpeg
import torch
from PIL import Image, ImageOps
from pydantic import Field

from modalities.image.jpeg import JpegDecoder, rows_for
from modalities.image.pixels import read_pixels
from modalities.spec import Config, Signal, SignalError, Statistics, decode_rows

_STD_FLOOR = 1e-3  # a quarter of a grey level


class ImageSchema(Config):
    """Size and storage of one image stream."""

    kind: Literal["image"] = "image"
    """Colour images of one size."""
    height: int = Field(ge=8, le=4096)
    """Stored height in pixels."""
    width: int = Field(ge=8, le=4096)
    """Stored width in pixels."""
    channels: Literal[3] = 3
    """Red, green and blue; other files are converted."""
    max_pixels: int = Field(default=50_000_000, ge=64)
    """Largest width times height of a raw file; checked in its header, before memory is taken."""
    fit: Literal["stretch", "crop"] = "stretch"
    """How another aspect ratio becomes the stored one: change it, or cut the sides off evenly."""
    store: Literal["png", "jpeg"] = "png"
    """Stored format: lossless, or smaller and faster to read."""
    jpeg_quality: int = Field(default=95, ge=1, le=100)
    """Quality where `store` is jpeg."""


class ImageCodec:
    """Image files <-> uint8 pixels."""

    def __init__(self, schema: ImageSchema, folder: Path | None = None) -> None:
        self.schema = schema
        first, second = ("png", "jpg") if schema.store == "png" else ("jpg", "png")
        self.extensions: tuple[str, ...] = (first, second, "jpeg", "webp")
        self._jpeg = JpegDecoder(schema.height, schema.width)

    def encode(self, value: np.ndarray | str | bytes) -> bytes:
        """Raw file bytes, or pixels uint8 (H, W, 3) or (3, height, width). Raises SignalError."""
        if isinstance(value, str):
            raise SignalError("DATA_DTYPE", "an image is file bytes or an array", expected="bytes or uint8", got="str")
        if isinstance(value, bytes):
            pixels = read_pixels(value, max_pixels=self.schema.max_pixels)
        else:
            pixels = self._upright(value)
        return self._store(self._resize(pixels))

    def decode(self, payloads: Sequence[bytes | None]) -> Signal:
        """uint8 (B, 3, height, width), in memory (B, height, width, 3); zeros where absent.

        Raises SignalError where a stored image is damaged or has another size.
        """
        pixels = rows_for(len(payloads), self.schema.height, self.schema.width)
        present = decode_rows(payloads, lambda row, payload: self._pixels(payload, pixels[row]))
        pixels[~present.numpy()] = 0
        return Signal(torch.from_numpy(pixels).permute(0, 3, 1, 2), None, present)

    def check(self, payload: bytes) -> None:
        """Raise SignalError for an image that is damaged or has another size."""
        self.decode([payload])

    def statistics(self, payloads: Iterable[bytes]) -> Statistics:
        """`mean` and `std` per colour in [0, 1]; exact integer sums, so the order of payloads does not matter."""
        count, total, squares = 0, [0, 0, 0], [0, 0, 0]
        stored = np.empty((self.schema.height, self.schema.width, 3), np.uint8)
        for payload in payloads:
            self._pixels(payload, stored)
            pixels = stored.reshape(-1, 3).T.astype(np.int64)
            count += pixels.shape[1]
            total = [t + int(p.sum()) for t, p in zip(total, pixels, strict=True)]
            squares = [s + int((p * p).sum()) for s, p in zip(squares, pixels, strict=True)]
        if count == 0:
            return {"mean": [0.0] * 3, "std": [1.0] * 3}
        spread = [s * count - t * t for s, t in zip(squares, total, strict=True)]
        std = [max(s**0.5 / count / 255.0, _STD_FLOOR) for s in spread]
        return {"mean": [t / count / 255.0 for t in total], "std": std}

    def fit(self, payloads: Iterable[bytes]) -> dict[str, bytes]:
        """Nothing: an image codec learns no files."""
        return {}

    def _upright(self, value: np.ndarray) -> np.ndarray:
        stored = (3, self.schema.height, self.schema.width)
        if value.dtype != np.uint8:
            raise SignalError("DATA_DTYPE", "pixels are 8-bit", expected="uint8", got=str(value.dtype))
        if value.ndim == 3 and value.shape[2] == 3 and value.size:
            return value
        if value.shape == stored:
            return value.transpose(1, 2, 0)
        raise SignalError("DATA_SHAPE", "pixels have a wrong shape", expected=["H", "W", 3], got=list(value.shape))

    def _resize(self, pixels: np.ndarray) -> np.ndarray:
        size = (self.schema.width, self.schema.height)
        if pixels.shape[:2] == size[::-1]:
            return np.ascontiguousarray(pixels)
        image = Image.fromarray(np.ascontiguousarray(pixels))
        if self.schema.fit == "crop":
            return np.asarray(ImageOps.fit(image, size, Image.Resampling.BICUBIC))
        return np.asarray(image.resize(size, Image.Resampling.BICUBIC))

    def _store(self, pixels: np.ndarray) -> bytes:
        if self.schema.store == "jpeg":
            return simplejpeg.encode_jpeg(pixels, quality=self.schema.jpeg_quality, colorsubsampling="444")
        buffer = io.BytesIO()
        Image.fromarray(pixels).save(buffer, "PNG")
        return buffer.getvalue()

    def _pixels(self, payload: bytes, out: np.ndarray) -> None:
        """Decode into `out`, uint8 (height, width, 3)."""
        if self._jpeg.decode(payload, out):
            return
        pixels = read_pixels(payload, max_pixels=out.shape[0] * out.shape[1])
        if pixels.shape != out.shape:
            expected, got = list(out.shape[:2]), list(pixels.shape[:2])
            raise SignalError("DATA_SHAPE", "a stored image has the wrong size", expected=expected, got=got)
        out[:] = pixels
