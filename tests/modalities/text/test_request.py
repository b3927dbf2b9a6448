"""Texts as requests state them."""

import pytest

from modalities.spec import SignalError
from modalities.text.codec import TextCodec, TextSchema
from modalities.text.request import TEXT_EXAMPLE, parse_text


def test_the_example_is_a_valid_text() -> None:
    assert TextCodec(TextSchema()).encode(parse_text(TEXT_EXAMPLE)) == b"an example"


def test_only_a_string_is_a_text() -> None:
    with pytest.raises(SignalError, match="a text is a string"):
        parse_text(["an example"])
