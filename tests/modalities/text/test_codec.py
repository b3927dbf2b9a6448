"""Stored texts: strict UTF-8 in NFC, caps, and a tokenizer that comes out the same every time."""

import hashlib
import json
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from modalities.spec import SignalError
from modalities.text.codec import TextCodec, TextSchema
from modalities.text.tokenizer import NUM_FIXED, SPECIALS, train_tokenizer
from tests.modalities.one_payload import decode_one

SCHEMA = TextSchema(max_tokens=32, vocabulary_size=400, max_characters=200)
TEXTS = [
    f"gentle {verb} of {thing} then {verb} again" for verb in ("lift", "twist", "lower") for thing in ("box", "jar")
]


@pytest.fixture(scope="module")
def codec(tmp_path_factory: pytest.TempPathFactory) -> TextCodec:
    folder = tmp_path_factory.mktemp("text")
    for name, content in TextCodec(SCHEMA).fit(text.encode() for text in TEXTS).items():
        (folder / name).write_bytes(content)
    return TextCodec(SCHEMA, folder)


def error_of(value: str | bytes, schema: TextSchema = SCHEMA) -> SignalError:
    with pytest.raises(SignalError) as caught:
        TextCodec(schema).encode(value)
    return caught.value


@pytest.mark.fault("D22")
@settings(max_examples=5000, deadline=None)
@given(st.text(alphabet=st.characters(), max_size=220))
def test_any_text_round_trips_or_is_a_typed_error(codec: TextCodec, text: str) -> None:
    try:
        payload = codec.encode(text)
    except SignalError as error:
        assert error.code in {"DATA_ENCODING", "DATA_NUL", "DATA_EMPTY_TEXT", "DATA_TOO_LARGE"}  # noqa: PT017
        return
    ids = decode_one(codec, payload)

    assert payload.decode() == unicodedata.normalize("NFC", text)
    assert codec.encode(payload) == payload
    assert 1 <= len(ids) <= 32
    assert ids.dtype == np.int64
    assert 0 <= ids.min() <= ids.max() < 400


@pytest.mark.fault("D21")
@pytest.mark.parametrize(("payload", "offset"), [(b"\xff\xfe\xe9", 0), (b"caf\xe9", 3), ("über".encode("utf-16"), 0)])
def test_what_is_not_utf8_is_refused_at_its_byte(payload: bytes, offset: int) -> None:
    error = error_of(payload)

    assert error.code == "DATA_ENCODING"
    assert error.got == {"byte_offset": offset}
    assert f"byte {offset}" in str(error)


@pytest.mark.fault("D22")
@pytest.mark.parametrize(
    ("value", "code"),
    [
        ("a\0b", "DATA_NUL"),
        (b"a\0b", "DATA_NUL"),
        ("\ud83d", "DATA_ENCODING"),
        ("", "DATA_EMPTY_TEXT"),
        (" \n\t", "DATA_EMPTY_TEXT"),
        ("x" * 201, "DATA_TOO_LARGE"),
        (b"x" * 10_000_000, "DATA_TOO_LARGE"),
        ("\u0301" * 10_000_000, "DATA_TOO_LARGE"),
    ],
)
def test_texts_outside_the_schema_are_refused(value: str | bytes, code: str) -> None:
    error = error_of(value)

    assert error.code == code
    assert len(str(error)) < 200, "payloads never go into messages"


def test_an_array_is_no_text() -> None:
    with pytest.raises(SignalError) as caught:
        TextCodec(SCHEMA).encode(np.array(["text"]))

    assert caught.value.code == "DATA_DTYPE"


def test_decomposed_text_is_stored_composed_and_counted_composed(codec: TextCodec) -> None:
    decomposed = unicodedata.normalize("NFD", "é" * 200)

    assert len(decomposed) == 400
    assert codec.encode(decomposed) == ("é" * 200).encode()
    np.testing.assert_array_equal(decode_one(codec, decomposed.encode()), decode_one(codec, ("é" * 200).encode()))


@pytest.mark.fault("D22")
def test_right_to_left_and_emoji_are_texts_like_others(codec: TextCodec) -> None:
    for text in ("שלום עולם", "👩‍🔬 measured 🌡️", "\u202eabc"):
        assert codec.encode(text).decode() == text
        assert SPECIALS.index("[UNK]") not in decode_one(codec, codec.encode(text))


def test_empty_texts_where_allowed_are_one_token(codec: TextCodec) -> None:
    schema = SCHEMA.model_copy(update={"allow_empty": True})
    lenient = TextCodec(schema, codec.folder)

    assert decode_one(lenient, lenient.encode("")).tolist() == [SPECIALS.index("[CLS]")]


def test_tokens_spell_the_text_again(codec: TextCodec) -> None:
    text = "the jar — naïve Ünïcode!"

    assert codec.tokenizer.decode(decode_one(codec, text.encode()).tolist()).strip() == text.lower()


def test_frequent_words_are_single_tokens(codec: TextCodec) -> None:
    assert len(decode_one(codec, b"gentle twist of jar")) == 1 + 4


def test_long_texts_lose_their_end(codec: TextCodec) -> None:
    long = " ".join(["box"] * 45)

    assert len(decode_one(codec, long.encode())) == 32
    np.testing.assert_array_equal(decode_one(codec, long.encode())[:5], decode_one(codec, b"box box box box"))


def test_case_is_ignored_unless_asked_for(codec: TextCodec, tmp_path: Path) -> None:
    cased = TextCodec(SCHEMA.model_copy(update={"lowercase": False}), tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(cased.fit([b"Box box"])["tokenizer.json"])

    np.testing.assert_array_equal(decode_one(codec, b"BOX"), decode_one(codec, b"box"))
    assert decode_one(cased, b"BOX").tolist() != decode_one(cased, b"box").tolist()


def test_the_tokenizer_is_the_same_in_every_process(codec: TextCodec) -> None:
    texts = [f"{a}{b}{c} word{a}" for a in "abcdef" for b in "ghijkl" for c in "mnopqr"]
    program = (
        "import hashlib, json, sys\n"
        "from modalities.text.tokenizer import train_tokenizer\n"
        "found = train_tokenizer(json.load(sys.stdin), size=500, lowercase=True)\n"
        "print(hashlib.sha256(found).hexdigest())"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        input=json.dumps(texts),
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(__file__).parents[3],
        env={"RAYON_NUM_THREADS": "3", "PYTHONHASHSEED": "7"},
    )

    assert run.stdout.strip() == hashlib.sha256(train_tokenizer(texts, size=500, lowercase=True)).hexdigest()


def test_a_named_tokenizer_is_copied_into_the_data_set(codec: TextCodec, tmp_path: Path) -> None:
    assert codec.folder is not None
    named = TextCodec(SCHEMA.model_copy(update={"tokenizer": str(codec.folder)}), tmp_path)
    (tmp_path / "tokenizer.json").write_bytes(named.fit([])["tokenizer.json"])

    np.testing.assert_array_equal(decode_one(named, b"gentle lift"), decode_one(codec, b"gentle lift"))


def test_a_tokenizer_with_too_many_tokens_is_refused(codec: TextCodec) -> None:
    small = TextCodec(SCHEMA.model_copy(update={"tokenizer": str(codec.folder), "vocabulary_size": NUM_FIXED}))
    with pytest.raises(SignalError) as caught:
        small.fit([])

    assert caught.value.code == "DATA_TOKENIZER"
    assert caught.value.fix == f"set vocabulary_size: {codec.tokenizer.get_vocab_size()}"
    with pytest.raises(ValidationError):
        TextSchema(vocabulary_size=NUM_FIXED - 1)


def test_a_missing_or_damaged_tokenizer_is_a_typed_error(tmp_path: Path) -> None:
    for content in (None, b"", b"{}", b"\xff\xfe"):
        if content is not None:
            (tmp_path / "tokenizer.json").write_bytes(content)
        with pytest.raises(SignalError) as caught:
            TextCodec(SCHEMA, tmp_path).decode([b"text"])
        assert caught.value.code == "DATA_TOKENIZER"


def test_decoding_pads_with_masked_zeros(codec: TextCodec) -> None:
    lenient = TextCodec(SCHEMA.model_copy(update={"allow_empty": True}), codec.folder)
    signal = lenient.decode([b"box jar", None, b""])

    assert signal.values.shape == (3, 32)
    assert signal.values.dtype == torch.int64
    assert signal.mask is not None
    assert signal.mask.sum(dim=1).tolist() == [3, 0, 1]
    assert signal.present.tolist() == [True, False, True]
    assert signal.values[~signal.mask].eq(0).all()


def test_a_bad_text_is_reported_with_its_row(codec: TextCodec) -> None:
    with pytest.raises(SignalError) as caught:
        codec.decode([b"box", None, b"caf\xe9", b"\0"])

    assert (caught.value.code, caught.value.row) == ("DATA_ENCODING", 2)


def test_known_texts_keep_their_tokens_beside_new_absent_and_refused_ones(codec: TextCodec) -> None:
    first = codec.decode([b"walk slowly", None, b"walk slowly"])
    again = codec.decode([b"turn", b"walk slowly", None])

    assert again.values[1].equal(first.values[0])
    assert first.values[2].equal(first.values[0])
    with pytest.raises(SignalError) as caught:
        codec.decode([b"walk slowly", b"\xff"])
    assert caught.value.row == 1
