"""JPEG files of one size -> RGB pixels in place, by libjpeg-turbo."""

import numpy as np
import simplejpeg

from modalities.spec import SignalError

JPEG_START = b"\xff\xd8\xff"
_EXIF = b"Exif\0\0"
_SCAN = 0xDA
_WITH_LENGTH = frozenset([*range(0xC0, 0xD0), *range(0xDB, 0xFF)])  # markers that a segment with its length follows
_MAX_KNOWN = 8


class JpegDecoder:
    """Decodes files of one size into given memory; several threads may share one.

    Everything in front of the compressed data says what the picture is like, and it is the same in most files of one
    writer: it is parsed once and then only compared.
    """

    def __init__(self, height: int, width: int) -> None:
        self.height, self.width = height, width
        self._known: tuple[bytes, ...] = ()

    def decode(self, payload: bytes, out: np.ndarray) -> bool:
        """Decode into uint8 (height, width, 3); False, with nothing written, for what no codec here writes.

        That is: other formats or sizes, EXIF, grey, CMYK. Raises SignalError DATA_IMAGE for damage.
        """
        try:
            if not payload.startswith(self._known) and not self._fits(payload):
                return False
            simplejpeg.decode_jpeg(payload, buffer=out)
        except ValueError as error:
            raise SignalError("DATA_IMAGE", "the image is damaged", got=len(payload)) from error
        return True

    def _fits(self, payload: bytes) -> bool:
        if not payload.startswith(JPEG_START):
            return False
        header = header_of(payload)
        if _EXIF in (header or payload):
            return False
        height, width, colours, _ = simplejpeg.decode_jpeg_header(payload)
        fits = colours == "YCbCr" and (height, width) == (self.height, self.width)
        if fits and header and len(self._known) < _MAX_KNOWN:
            self._known = (*self._known, header)
        return fits


def header_of(payload: bytes) -> bytes:
    """A JPEG file up to the marker of its first scan, that included; empty where segments do not lead there."""
    position = 2
    while payload[position : position + 1] == b"\xff" and position + 4 <= len(payload):
        marker = payload[position + 1]
        if marker == _SCAN:
            return payload[: position + 2]
        if marker not in _WITH_LENGTH:
            break
        position += 2 + int.from_bytes(payload[position + 2 : position + 4])
    return b""


def rows_for(count: int, height: int, width: int) -> np.ndarray:
    """Uninitialised uint8 (count, height, width, 3) for decoded pictures.

    It begins 8 bytes behind a multiple of 32: libjpeg-turbo writes rows that are aligned past the cache, which makes
    small pictures up to a third slower to decode, and slower to use afterwards.
    """
    memory = np.empty(count * height * width * 3 + 40, np.uint8)
    start = (8 - memory.ctypes.data) % 32
    return memory[start : len(memory) - 40 + start].reshape(count, height, width, 3)
