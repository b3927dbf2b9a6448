"""An image as a request states it: a PNG, JPEG or WebP file in base64."""

import base64
import binascii

import numpy as np

from modalities.image.codec import ImageCodec, ImageSchema
from modalities.spec import SignalError

MAX_FILE_BYTES = 32 << 20
"""Largest file; its pixels are limited by the schema."""


def parse_image(value: object) -> bytes:
    """The file's bytes. Raises SignalError."""
    if not isinstance(value, str):
        raise SignalError("DATA_DTYPE", "an image is base64 text", expected="str", got=type(value).__name__)
    if len(value) > MAX_FILE_BYTES // 3 * 4:
        expected = f"<= {MAX_FILE_BYTES} bytes"
        raise SignalError("DATA_TOO_LARGE", "the image file is too large", expected=expected, got=len(value) // 4 * 3)
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        fix = "encode the bytes of a PNG, JPEG or WebP file, without a prefix or line breaks"
        raise SignalError("DATA_ENCODING", "the image is not base64", expected="base64", fix=fix) from None


def image_example(schema: ImageSchema) -> str:
    """A grey image, which shows the form and is nobody's data."""
    pixels = np.full((schema.height, schema.width, 3), 128, np.uint8)
    return base64.b64encode(ImageCodec(schema).encode(pixels)).decode()
