"""Images as requests state them."""

import base64

import pytest

from modalities.image import request
from modalities.image.codec import ImageCodec, ImageSchema
from modalities.image.request import image_example, parse_image
from modalities.spec import SignalError

SCHEMA = ImageSchema(height=8, width=10)


def test_the_example_is_a_valid_image() -> None:
    payload = ImageCodec(SCHEMA).encode(parse_image(image_example(SCHEMA)))

    assert ImageCodec(SCHEMA).decode([payload]).values.shape == (1, 3, 8, 10)


@pytest.mark.parametrize(
    ("value", "code"),
    [
        (7, "DATA_DTYPE"),
        ("data:image/png;base64,AAAA", "DATA_ENCODING"),
        ("AAA", "DATA_ENCODING"),
        ("ä", "DATA_ENCODING"),
    ],
)
def test_what_is_no_base64_is_refused_without_quoting_it(value: object, code: str) -> None:
    with pytest.raises(SignalError) as refused:
        parse_image(value)

    assert refused.value.code == code
    assert str(value) not in str(refused.value)


def test_a_file_beyond_the_limit_is_refused_before_it_is_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(request, "MAX_FILE_BYTES", 30)

    assert len(parse_image(base64.b64encode(bytes(30)).decode())) == 30
    with pytest.raises(SignalError, match="too large"):
        parse_image(base64.b64encode(bytes(33)).decode())
