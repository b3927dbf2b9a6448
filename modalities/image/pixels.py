"""Image files -> RGB pixels. Files may be hostile: formats are allow-listed, sizes are read before pixels are."""

import io
import struct
import zlib

import numpy as np
from PIL import Image, ImageFile, ImageOps
from PIL.JpegImagePlugin import JpegImageFile
from PIL.PngImagePlugin import PngImageFile
from PIL.WebPImagePlugin import WebPImageFile

from modalities.image.jpeg import JPEG_START
from modalities.spec import SignalError

_JPEG_END = b"\xff\xd9"
_PNG_START = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND\xaeB`\x82"
_WEBP_HEADER = 30
_OPAQUE = {"1", "L", "P", "RGB", "CMYK", "YCbCr"}
_SIXTEEN_BITS = {"I;16", "I;16B", "I;16L", "I;16N", "I"}

# What Pillow raises on damaged files; its plugins parse by hand, so it is more than OSError.
_DAMAGE = (OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, OverflowError, struct.error, zlib.error)


def read_pixels(payload: bytes, *, max_pixels: int) -> np.ndarray:
    """uint8 (H, W, 3), upright. Transparency is shown on white, 16-bit grey keeps its upper byte.

    Raises SignalError: DATA_IMAGE (not such a file, damaged, truncated, animated), DATA_IMAGE_PIXELS (too large).
    """
    _require_end(payload)
    try:
        with _open(payload, max_pixels=max_pixels) as image:
            if getattr(image, "is_animated", False):
                raise SignalError(
                    "DATA_IMAGE", "the image is animated", expected="one frame", fix="store single frames"
                )
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(_to_rgb(image))
    except SignalError:
        raise
    except _DAMAGE as error:
        raise SignalError("DATA_IMAGE", f"the image is damaged ({type(error).__name__})", got=len(payload)) from error


def _open(payload: bytes, *, max_pixels: int) -> ImageFile.ImageFile:
    """The header, parsed. Image.open would warn or fail at a limit of its own before telling the size."""
    if payload.startswith(_PNG_START):
        image: ImageFile.ImageFile = PngImageFile(io.BytesIO(payload))
    elif payload.startswith(JPEG_START):
        image = JpegImageFile(io.BytesIO(payload))
    else:
        check_size(*_webp_size(payload), max_pixels=max_pixels)  # its plugin allocates the canvas while opening
        image = WebPImageFile(io.BytesIO(payload))
    check_size(*image.size, max_pixels=max_pixels)
    return image


def check_size(width: int, height: int, *, max_pixels: int) -> None:
    """Raises SignalError DATA_IMAGE_PIXELS."""
    if width * height > max_pixels:
        raise SignalError(
            "DATA_IMAGE_PIXELS",
            f"the image has {width} x {height} pixels",
            expected=f"<= {max_pixels}",
            got={"width": width, "height": height, "limit": max_pixels},
            fix="shrink the image, or raise max_pixels",
        )


def _require_end(payload: bytes) -> None:
    """Pillow and libjpeg accept files whose last bytes are missing."""
    if payload.startswith(_PNG_START):
        whole = _PNG_END in payload
    elif payload.startswith(JPEG_START):
        whole = _JPEG_END in payload
    elif payload[:4] == b"RIFF" and payload[8:12] == b"WEBP" and len(payload) >= _WEBP_HEADER:
        whole = len(payload) >= 8 + int.from_bytes(payload[4:8], "little")
    else:
        expected = "PNG, JPEG or WebP"
        raise SignalError(
            "DATA_IMAGE", "not an image file of an allowed format", expected=expected, got=payload[:12].hex()
        )
    if not whole:
        raise SignalError("DATA_IMAGE", "the image is truncated", expected="its end marker", got=len(payload))


def _webp_size(payload: bytes) -> tuple[int, int]:
    """Width and height from the first chunk (RFC 9649)."""
    chunk, body = payload[12:16], payload[20:_WEBP_HEADER]
    if chunk == b"VP8X":
        return 1 + int.from_bytes(body[4:7], "little"), 1 + int.from_bytes(body[7:10], "little")
    if chunk == b"VP8L":
        bits = int.from_bytes(body[1:5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    return int.from_bytes(body[6:8], "little") & 0x3FFF, int.from_bytes(body[8:10], "little") & 0x3FFF


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in _SIXTEEN_BITS:
        return Image.fromarray((np.asarray(image) >> 8).astype(np.uint8)).convert("RGB")
    if image.mode in _OPAQUE and "transparency" not in image.info:
        return image.convert("RGB")
    shown = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", shown.size, "white"), shown).convert("RGB")
