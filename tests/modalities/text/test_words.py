"""Tokens word by word: the tokenizer's own for every text they are given for."""

import copy

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer

from modalities.text.tokenizer import NUM_FIXED, SPECIALS, load_tokenizer, train_tokenizer, word_tokens
from modalities.text.words import WordTokens

TEXTS = [
    "It's a box, isn't it?",
    "They'll lift 12 boxes  and 3 jars",
    "the jar's lid -- turned (twice)",
    "we've DONE it",
]
MAX_TOKENS = 24


def pair(*, lowercase: bool) -> tuple[Tokenizer, WordTokens]:
    content = train_tokenizer(TEXTS, size=NUM_FIXED + 40, lowercase=lowercase)
    tokenizer = load_tokenizer(content, max_tokens=MAX_TOKENS)
    words = word_tokens(tokenizer, max_tokens=MAX_TOKENS, lowercase=lowercase)
    assert words is not None
    return tokenizer, words


LOWER, CASED = pair(lowercase=True), pair(lowercase=False)
ASCII = st.text(st.characters(max_codepoint=127), max_size=60)
PIECES = [*" \n\t'stremvldaXYZ09.,-()", "'s", "'ll", "  ", " it's"]
LIKE_TEXT = st.lists(st.sampled_from(PIECES), max_size=60).map("".join)


@pytest.mark.parametrize("made", [LOWER, CASED], ids=["lower", "cased"])
@settings(max_examples=3000, deadline=None)
@given(text=st.one_of(ASCII, LIKE_TEXT))
def test_ids_are_those_of_the_tokenizer(made: tuple[Tokenizer, WordTokens], text: str) -> None:
    tokenizer, words = made
    found = words.ids(text)

    assert found == tokenizer.encode(text).ids if found is not None else not text or "[" in text


@pytest.mark.parametrize("text", TEXTS)
def test_texts_of_the_training_are_given_again_and_again(text: str) -> None:
    tokenizer, words = LOWER

    assert words.ids(text) == words.ids(text) == tokenizer.encode(text).ids


@pytest.mark.parametrize("text", ["", "naïve", "[MASK] box", "box[SEP]", "jar\u00a0lid", "\u2028"])
def test_what_only_the_tokenizer_knows_is_left_to_it(text: str) -> None:
    assert LOWER[1].ids(text) is None


def test_long_texts_lose_their_end() -> None:
    tokenizer, words = LOWER
    found = words.ids("box lid " * 40)

    assert found == tokenizer.encode("box lid " * 40).ids
    assert len(found or ()) == MAX_TOKENS
    assert words.ids("x" * 5000) == tokenizer.encode("x" * 5000).ids


def test_a_copy_gives_the_same() -> None:
    assert copy.deepcopy(LOWER[1]).ids(TEXTS[0]) == LOWER[1].ids(TEXTS[0])


def test_tokenizers_of_other_kinds_are_not_imitated() -> None:
    content = train_tokenizer(TEXTS, size=NUM_FIXED, lowercase=True).decode()
    changes = [
        ('"normalizer":{"type":"Lowercase"}', '"normalizer":{"type":"NFKC"}'),
        ('"add_prefix_space":true', '"add_prefix_space":false'),
        ('"unk_token":null', f'"unk_token":"{SPECIALS[1]}"'),
        ('"special":true', '"special":false'),
        ('"id":"A"', '"id":"B"'),
    ]
    for old, new in changes:
        compact = content.replace('": ', '":').replace(', "', ',"')
        assert old in compact
        other = load_tokenizer(compact.replace(old, new, 1).encode(), max_tokens=MAX_TOKENS)
        assert word_tokens(other, max_tokens=MAX_TOKENS, lowercase=True) is None
    same = load_tokenizer(content.encode(), max_tokens=MAX_TOKENS)
    assert word_tokens(same, max_tokens=MAX_TOKENS, lowercase=False) is None
