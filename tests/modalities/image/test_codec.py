"""Stored images: lossless, of one size, with exact statistics."""

import io

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from modalities.image.codec import ImageCodec, ImageSchema
from modalities.spec import SignalError
from tests.modalities.one_payload import decode_one

SCHEMA = ImageSchema(height=16, width=24)
CODEC = ImageCodec(SCHEMA)
PIXELS = np.random.default_rng(0).integers(0, 256, (16, 24, 3)).astype(np.uint8)


@settings(max_examples=50, deadline=None)
@given(arrays(np.uint8, (16, 24, 3), elements=st.integers(0, 255)))
def test_png_round_trip_is_exact_for_arrays_files_and_decoded_pixels(pixels: np.ndarray) -> None:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    expected = pixels.transpose(2, 0, 1)

    for value in (pixels, expected, buffer.getvalue()):
        np.testing.assert_array_equal(decode_one(CODEC, CODEC.encode(value)), expected)


def test_jpeg_store_is_close_and_stable() -> None:
    codec = ImageCodec(SCHEMA.model_copy(update={"store": "jpeg"}))
    smooth = np.asarray(Image.fromarray(PIXELS[:4, :6]).resize((24, 16), Image.Resampling.BICUBIC))
    payload = codec.encode(smooth)
    with Image.open(io.BytesIO(payload)) as image:
        by_pillow = np.asarray(image)

    assert codec.extensions[0] == "jpg"
    assert payload.startswith(b"\xff\xd8\xff")
    np.testing.assert_allclose(decode_one(codec, payload).transpose(1, 2, 0).astype(int), smooth, atol=16)
    np.testing.assert_allclose(decode_one(codec, payload).transpose(1, 2, 0).astype(int), by_pillow, atol=2)
    for length in range(len(payload)):
        with pytest.raises(SignalError):
            codec.decode([payload[:length]])


def test_stretch_and_crop_differ_in_what_they_keep() -> None:
    wide = np.zeros((32, 96, 3), np.uint8)
    wide[:, :24] = 255  # the left quarter

    stretched = decode_one(CODEC, CODEC.encode(wide))
    cropper = ImageCodec(SCHEMA.model_copy(update={"fit": "crop"}))

    np.testing.assert_allclose(stretched.mean(), 255 / 4, rtol=0.05)
    assert decode_one(cropper, cropper.encode(wide))[:, :, 2:].max() == 0  # 3:2 of 3:1 keeps the middle half


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (PIXELS.astype(np.float32), "DATA_DTYPE"),
        (PIXELS.astype(np.int16), "DATA_DTYPE"),
        ("photo.png", "DATA_DTYPE"),
        (PIXELS[:, :, :2], "DATA_SHAPE"),
        (PIXELS[:, :, 0], "DATA_SHAPE"),
        (PIXELS.transpose(2, 1, 0), "DATA_SHAPE"),
        (PIXELS[:0], "DATA_SHAPE"),
        (PIXELS[None], "DATA_SHAPE"),
    ],
)
def test_arrays_that_are_not_images_are_refused(value: np.ndarray | str, code: str) -> None:
    with pytest.raises(SignalError) as caught:
        CODEC.encode(value)

    assert caught.value.code == code


def test_a_stored_image_of_another_size_is_refused() -> None:
    other = ImageCodec(ImageSchema(height=24, width=16))
    with pytest.raises(SignalError) as caught:
        CODEC.decode([other.encode(PIXELS)])

    assert caught.value.code == "DATA_SHAPE"
    assert (caught.value.expected, caught.value.got) == ([16, 24], [24, 16])


def test_decoded_pixels_are_bytes_and_scale_to_one() -> None:
    white, grey = np.full((3, 16, 24), 255, np.uint8), np.full((3, 16, 24), 51, np.uint8)
    signal = CODEC.decode([CODEC.encode(white), None, CODEC.encode(grey)])
    scaled = signal.scaled()

    assert signal.values.dtype == torch.uint8
    assert signal.values.amax(dim=(1, 2, 3)).tolist() == [255, 0, 51]
    assert signal.mask is None
    assert scaled.values.dtype == torch.float32
    assert scaled.values.is_contiguous()
    assert scaled.values.amax(dim=(1, 2, 3)).tolist() == pytest.approx([1.0, 0.0, 0.2])
    assert scaled.scaled() is scaled


@pytest.mark.parametrize("store", ["png", "jpeg"])
def test_a_bad_image_is_reported_with_its_row(store: str) -> None:
    codec = ImageCodec(SCHEMA.model_copy(update={"store": store}))
    payload = codec.encode(PIXELS)
    with pytest.raises(SignalError) as caught:
        codec.decode([payload, None, payload[:-9], b""])

    assert (caught.value.code, caught.value.row) == ("DATA_IMAGE", 2)


def test_statistics_are_those_of_all_pixels_together() -> None:
    images = np.random.default_rng(3).integers(0, 200, (7, 3, 16, 24)).astype(np.uint8)
    images[:, 2] = 90  # constant
    found = CODEC.statistics(CODEC.encode(image) for image in images)
    expected = images.transpose(1, 0, 2, 3).reshape(3, -1) / 255.0

    np.testing.assert_allclose(found["mean"], expected.mean(axis=1), rtol=1e-12)
    np.testing.assert_allclose(found["std"][:2], expected[:2].std(axis=1), rtol=1e-12)
    assert found["std"][2] == 1e-3
    assert found == CODEC.statistics([CODEC.encode(image) for image in images[::-1]])
