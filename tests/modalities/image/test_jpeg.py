"""JPEG straight into a batch: the pixels of a plain decoder, and no header is trusted for another picture."""

import io
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from modalities.image.codec import ImageCodec, ImageSchema
from modalities.image.jpeg import JpegDecoder, header_of, rows_for
from modalities.spec import SignalError
from tests.modalities.one_payload import decode_one

HEIGHT, WIDTH = 24, 40


def pixels(seed: int, *, height: int = HEIGHT, width: int = WIDTH) -> np.ndarray:
    coarse = np.random.default_rng(seed).integers(0, 256, (5, 7, 3)).astype(np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def jpeg(
    seed: int,
    *,
    height: int = HEIGHT,
    width: int = WIDTH,
    mode: str = "RGB",
    options: Mapping[str, object] | None = None,
) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(seed, height=height, width=width)).convert(mode).save(file, "JPEG", **(options or {}))
    return file.getvalue()


def decoded(decoder: JpegDecoder, payload: bytes) -> np.ndarray | None:
    out = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    return out if decoder.decode(payload, out) else None


@pytest.mark.parametrize("subsampling", [0, 1, 2])
@pytest.mark.parametrize("options", [{}, {"optimize": True}, {"progressive": True}, {"quality": 100}])
def test_pixels_are_those_of_a_plain_decoder_for_known_and_new_headers(
    subsampling: int, options: dict[str, object]
) -> None:
    decoder = JpegDecoder(HEIGHT, WIDTH)
    for seed in range(20):
        payload = jpeg(seed, options={"subsampling": subsampling, **options})
        for _ in range(2):
            np.testing.assert_array_equal(decoded(decoder, payload), simplejpeg.decode_jpeg(payload))


def test_a_known_header_says_nothing_about_other_files() -> None:
    decoder = JpegDecoder(HEIGHT, WIDTH)
    exif = Image.Exif()
    exif[0x0112] = 3
    assert decoded(decoder, jpeg(0)) is not None

    assert decoded(decoder, jpeg(1, height=WIDTH, width=HEIGHT)) is None
    assert decoded(decoder, jpeg(1, height=HEIGHT + 1)) is None
    assert decoded(decoder, jpeg(1, mode="L")) is None
    assert decoded(decoder, jpeg(1, mode="CMYK")) is None
    assert decoded(decoder, jpeg(1, options={"exif": exif})) is None
    assert decoded(decoder, b"\x89PNG") is None
    assert decoded(decoder, b"") is None
    assert decoded(decoder, jpeg(1)) is not None


def test_many_kinds_of_headers_are_decoded_too() -> None:
    decoder = JpegDecoder(HEIGHT, WIDTH)
    payloads = [jpeg(seed, options={"quality": quality}) for quality in range(50, 90) for seed in range(2)]

    for payload in payloads:
        np.testing.assert_array_equal(decoded(decoder, payload), simplejpeg.decode_jpeg(payload))


@given(st.integers(0, 2000), st.integers(0, 255))
@settings(max_examples=300, deadline=None)
def test_a_changed_byte_means_the_same_whether_the_header_is_known_or_not(position: int, value: int) -> None:
    payload = bytearray(jpeg(3))
    payload[position % len(payload)] = value

    def outcome(decoder: JpegDecoder) -> object:
        try:
            found = decoded(decoder, bytes(payload))
        except SignalError as error:
            return error.code
        return None if found is None else found.tobytes()

    experienced = JpegDecoder(HEIGHT, WIDTH)
    decoded(experienced, jpeg(3))

    assert outcome(experienced) == outcome(JpegDecoder(HEIGHT, WIDTH))


def test_every_truncation_is_refused_after_whole_files_too() -> None:
    codec, payload = ImageCodec(ImageSchema(height=HEIGHT, width=WIDTH)), jpeg(3)
    codec.decode([payload])

    for length in range(len(payload)):
        with pytest.raises(SignalError) as caught:
            codec.decode([payload, None, payload[:length]])
        assert (caught.value.code, caught.value.row) == ("DATA_IMAGE", 2)


def test_turned_and_grey_pictures_are_shown_as_pillow_shows_them() -> None:
    codec, exif = ImageCodec(ImageSchema(height=HEIGHT, width=WIDTH)), Image.Exif()
    exif[0x0112] = 3  # upside down
    upright = codec.decode([jpeg(5)]).values[0].numpy()

    np.testing.assert_array_equal(decode_one(codec, jpeg(5, options={"exif": exif})), upright[:, ::-1, ::-1])
    with Image.open(io.BytesIO(jpeg(5, mode="L"))) as image:
        grey = np.asarray(image.convert("RGB")).transpose(2, 0, 1)
    np.testing.assert_array_equal(decode_one(codec, jpeg(5, mode="L")), grey)


def test_a_header_ends_at_the_first_scan_or_is_none() -> None:
    payload = jpeg(0)
    header = header_of(payload)

    assert header.endswith(b"\xff\xda")
    assert payload.startswith(header)
    assert header_of(jpeg(1)) == header
    assert header_of(payload[:2] + b"\xff\xd0" + payload[2:]) == b""
    for length in range(len(header)):
        assert header_of(payload[:length]) == b""


def test_a_scan_marker_inside_a_comment_does_not_end_a_header() -> None:
    tricky = jpeg(0, options={"comment": b"\xff\xda"})

    assert len(header_of(tricky)) > tricky.index(b"\xff\xda") + 2


@pytest.mark.parametrize("count", [0, 1, 5])
def test_rows_are_whole_and_lie_beside_the_alignment_that_slows_the_decoder(count: int) -> None:
    rows = rows_for(count, HEIGHT, WIDTH)

    assert rows.shape == (count, HEIGHT, WIDTH, 3)
    assert rows.flags.c_contiguous
    assert rows.flags.writeable
    assert count == 0 or rows.ctypes.data % 32 == 8


def test_threads_share_a_decoder() -> None:
    decoder = JpegDecoder(HEIGHT, WIDTH)
    payloads = [jpeg(seed, options={"quality": 60 + seed % 12}) for seed in range(60)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda payload: decoded(decoder, payload), payloads))

    for payload, out in zip(payloads, found, strict=True):
        np.testing.assert_array_equal(out, simplejpeg.decode_jpeg(payload))
