"""Image files from anywhere: odd ones are converted, damaged and oversized ones refused before they cost anything."""

import io
import struct
import time
import zlib

import numpy as np
import psutil
import pytest
from PIL import Image

from modalities.image.codec import ImageCodec, ImageSchema
from modalities.image.pixels import read_pixels
from modalities.spec import SignalError

LIMIT = 50_000_000


def file_of(image: Image.Image, kind: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def noise(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape).astype(np.uint8)


def png_bomb(width: int, height: int) -> bytes:
    """A valid 1-bit PNG: a few kilobytes that decode to width x height pixels."""

    def chunk(name: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))

    rows = zlib.compress(bytes(height * (1 + (width + 7) // 8)), 9)
    header = struct.pack(">IIBBBBB", width, height, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")


def code_of(payload: bytes, *, max_pixels: int = LIMIT) -> str:
    with pytest.raises(SignalError) as caught:
        read_pixels(payload, max_pixels=max_pixels)
    return caught.value.code


@pytest.mark.fault("D26")
@pytest.mark.parametrize("side", [9400, 12_000, 60_000])
@pytest.mark.filterwarnings("error")
def test_an_image_bomb_is_refused_from_its_header(side: int) -> None:
    bomb = png_bomb(side, 12_000)
    codec = ImageCodec(ImageSchema(height=64, width=64))
    before, started = psutil.Process().memory_info().rss, time.process_time()
    with pytest.raises(SignalError) as caught:
        codec.encode(bomb)
    elapsed, grown = time.process_time() - started, psutil.Process().memory_info().rss - before

    assert caught.value.code == "DATA_IMAGE_PIXELS"
    assert caught.value.got == {"width": side, "height": 12_000, "limit": LIMIT}
    assert grown < 50 << 20
    assert elapsed < 0.05


def test_a_bomb_among_stored_images_is_refused_by_the_stored_size() -> None:
    with pytest.raises(SignalError) as caught:
        ImageCodec(ImageSchema(height=64, width=64)).decode([png_bomb(640, 640)])

    assert caught.value.code == "DATA_IMAGE_PIXELS"


@pytest.mark.parametrize("lossless", [True, False])
def test_a_webp_tells_its_size_before_its_decoder_takes_memory(lossless: bool) -> None:
    payload = file_of(Image.new("RGB", (300, 200)), "WEBP", lossless=lossless)
    with_alpha = file_of(
        Image.new("RGBA", (300, 200), (1, 2, 3, 4)), "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0\0\0\0\0"
    )

    for found in (payload, with_alpha):
        with pytest.raises(SignalError) as caught:
            read_pixels(found, max_pixels=59_999)
        assert caught.value.got == {"width": 300, "height": 200, "limit": 59_999}
        assert read_pixels(found, max_pixels=60_000).shape == (200, 300, 3)


@pytest.mark.fault("D27")
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_every_cut_of_a_file_is_noticed(kind: str) -> None:
    payload = file_of(Image.fromarray(noise(9, 11, 3)), kind)

    assert {code_of(payload[:length]) for length in range(len(payload))} == {"DATA_IMAGE"}


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damage_is_a_signal_error_or_an_image(kind: str) -> None:
    payload = file_of(Image.fromarray(noise(9, 11, 3)), kind)
    rng = np.random.default_rng(1)
    outcomes = set()
    for _ in range(600):
        damaged = bytearray(payload)
        for position in rng.integers(0, len(damaged), rng.integers(1, 6)):
            damaged[position] = rng.integers(0, 256)
        try:
            outcomes.add(read_pixels(bytes(damaged), max_pixels=10_000).ndim)
        except SignalError as error:
            outcomes.add(error.code)

    assert "DATA_IMAGE" in outcomes
    assert outcomes <= {3, "DATA_IMAGE", "DATA_IMAGE_PIXELS"}


@pytest.mark.fault("D27")
@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "ICO"])
def test_other_formats_are_refused(kind: str) -> None:
    assert code_of(file_of(Image.new("RGB", (16, 16)), kind)) == "DATA_IMAGE"


@pytest.mark.parametrize(
    "payload", [b"", b"\x89PNG\r\n\x1a\n", b"RIFF", b"\xff\xd8\xff\xd9", b"%!PS-Adobe-3.0 EPSF-3.0"]
)
def test_what_is_no_image_is_refused(payload: bytes) -> None:
    assert code_of(payload) == "DATA_IMAGE"


@pytest.mark.fault("D27")
@pytest.mark.parametrize("kind", ["PNG", "WEBP"])
def test_animations_are_refused(kind: str) -> None:
    frames = [Image.fromarray(noise(8, 8, 3)), Image.new("RGB", (8, 8), "red")]

    assert code_of(file_of(frames[0], kind, save_all=True, append_images=frames[1:])) == "DATA_IMAGE"


@pytest.mark.fault("D27")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_photos_are_turned_upright(orientation: int) -> None:
    upright = np.zeros((16, 32, 3), np.uint8)
    upright[:8, :16] = 255  # top left
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.transpose(1, 0, 2),
        6: np.rot90(upright, 1),
        7: upright.transpose(1, 0, 2)[::-1, ::-1],
        8: np.rot90(upright, 3),
    }[orientation]
    exif = Image.Exif()
    exif[0x0112] = orientation
    payload = file_of(Image.fromarray(np.ascontiguousarray(stored)), "JPEG", exif=exif, quality=100, subsampling=0)

    np.testing.assert_allclose(read_pixels(payload, max_pixels=LIMIT).astype(int), upright, atol=3)


def test_grey_palette_and_one_bit_images_become_rgb() -> None:
    grey = Image.fromarray(noise(8, 9))
    expected = np.repeat(np.asarray(grey)[:, :, None], 3, axis=2)

    np.testing.assert_array_equal(read_pixels(file_of(grey, "PNG"), max_pixels=LIMIT), expected)
    for mode in ("P", "1"):
        found = read_pixels(file_of(grey.convert(mode), "PNG"), max_pixels=LIMIT)
        np.testing.assert_array_equal(found, np.asarray(grey.convert(mode).convert("RGB")))


@pytest.mark.fault("D27")
def test_sixteen_bit_grey_keeps_its_upper_byte() -> None:
    deep = np.arange(64, dtype=np.uint16).reshape(8, 8) * 1024

    found = read_pixels(file_of(Image.fromarray(deep), "PNG"), max_pixels=LIMIT)

    np.testing.assert_array_equal(found[:, :, 0], deep >> 8)


def test_transparency_is_shown_on_white() -> None:
    layers = np.zeros((8, 8, 4), np.uint8)
    layers[:4] = (200, 100, 50, 255)
    found = read_pixels(file_of(Image.fromarray(layers), "PNG"), max_pixels=LIMIT)

    assert found[0, 0].tolist() == [200, 100, 50]
    assert found[7, 7].tolist() == [255, 255, 255]


@pytest.mark.fault("D27")
def test_cmyk_becomes_rgb() -> None:
    red = Image.new("CMYK", (16, 16), (0, 255, 255, 0))

    np.testing.assert_allclose(read_pixels(file_of(red, "JPEG"), max_pixels=LIMIT)[8, 8], [255, 0, 0], atol=6)
