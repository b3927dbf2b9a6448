"""Texts on disk: one UTF-8 file (NFC, no NUL) per sample; tokens are made while reading."""

import unicodedata
from collections.abc import Iterable, Sequence
from itertools import chain
from pathlib import Path
from typing import Literal

import numpy as np
import torch
from pydantic import Field
from tokenizers import Tokenizer

from modalities.spec import Config, Signal, SignalError, Statistics, decode_rows
from modalities.text.tokenizer import NUM_FIXED, load_tokenizer, read_named, train_tokenizer, word_tokens
from modalities.text.words import WordTokens

TOKENIZER_FILE = "tokenizer.json"
_BYTES_PER_CHARACTER = 4  # of UTF-8
_KNOWN_TEXTS = 1 << 16  # texts whose tokens are kept: captions repeat, and every text does in the next epoch
_KNOWN_BYTES = 1 << 10  # longer ones are not
_NFC_SHRINK = 4  # decomposed text may be longer before normalisation


class TextSchema(Config):
    """Tokens and caps of one text stream."""

    kind: Literal["text"] = "text"
    """Short texts."""
    max_tokens: int = Field(default=64, ge=2, le=8192)
    """Tokens of a batch; longer texts lose their end."""
    vocabulary_size: int = Field(default=2048, ge=NUM_FIXED, le=1_000_000)
    """Rows of the token table, the most tokens a tokenizer may have; a trained one has no more."""
    tokenizer: str = Field(default="trained", min_length=1)
    """`trained` learns byte-level BPE from the training split; else a hub name or local folder with tokenizer.json."""
    lowercase: bool = True
    """Whether a trained tokenizer ignores case."""
    max_characters: int = Field(default=10_000, ge=1, le=1_000_000)
    """Longest text accepted."""
    allow_empty: bool = False
    """Whether a text may be empty; otherwise leave the stream out of that sample."""


class TextCodec:
    """UTF-8 bytes <-> token ids."""

    extensions: tuple[str, ...] = ("txt",)

    def __init__(self, schema: TextSchema, folder: Path | None = None) -> None:
        """folder: where `fit`'s files lie; only `decode` needs it."""
        self.schema, self.folder = schema, folder
        self._tokenizer: Tokenizer | None = None
        self._words: WordTokens | None = None
        self._known: dict[bytes, list[int]] = {}

    def encode(self, value: np.ndarray | str | bytes) -> bytes:
        """Checked, NFC-normalised UTF-8. Raises SignalError."""
        if isinstance(value, np.ndarray):
            raise SignalError("DATA_DTYPE", "a text is a string or UTF-8 bytes", expected="str", got=str(value.dtype))
        return self._clean(value).encode()

    def decode(self, payloads: Sequence[bytes | None]) -> Signal:
        """Ids int64 (B, max_tokens) and mask, 1..max_tokens a text; padding and absent samples are masked zeros."""
        fresh: dict[bytes, str] = {}

        def check(_: int, payload: bytes) -> None:
            if payload not in self._known and payload not in fresh:
                fresh[payload] = self._clean(payload)

        present = decode_rows(payloads, check)
        made = self._tokens(fresh)
        found = [made.get(payload) or self._known[payload] for payload in payloads if payload is not None]
        if len(self._known) + len(made) <= _KNOWN_TEXTS:
            self._known |= {payload: ids for payload, ids in made.items() if len(payload) <= _KNOWN_BYTES}
        lengths = np.zeros(len(payloads), np.int64)
        lengths[present.numpy()] = [len(ids) for ids in found]
        mask = np.arange(self.schema.max_tokens) < lengths[:, None]
        ids = np.zeros(mask.shape, np.int64)
        ids[mask] = np.fromiter(chain.from_iterable(found), np.int64)
        return Signal(torch.from_numpy(ids), torch.from_numpy(mask), present)

    def check(self, payload: bytes) -> None:
        """Raise SignalError for a payload that is no text of the schema."""
        self._clean(payload)

    def statistics(self, payloads: Iterable[bytes]) -> Statistics:
        """Nothing: ids are not normalised."""
        return {}

    def fit(self, payloads: Iterable[bytes]) -> dict[str, bytes]:
        """The tokenizer as `tokenizer.json`: trained, or a copy of the named one, so a data set carries its own."""
        if self.schema.tokenizer == "trained":
            texts = (self._clean(payload) for payload in payloads)
            size = self.schema.vocabulary_size
            return {TOKENIZER_FILE: train_tokenizer(texts, size=size, lowercase=self.schema.lowercase)}
        content = read_named(self.schema.tokenizer)
        self._checked(content)
        return {TOKENIZER_FILE: content}

    def _tokens(self, texts: dict[bytes, str]) -> dict[bytes, list[int]]:
        """Ids of each text by its payload."""
        if not texts:
            return {}
        tokenizer, words = self.tokenizer, self._words
        found = {} if words is None else {payload: words.ids(text) for payload, text in texts.items()}
        made = {payload: ids for payload, ids in found.items() if ids is not None}
        left = {payload: text for payload, text in texts.items() if payload not in made}
        encodings = tokenizer.encode_batch_fast(list(left.values())) if left else []
        made |= {payload: encoding.ids for payload, encoding in zip(left, encodings, strict=True)}
        return made

    @property
    def tokenizer(self) -> Tokenizer:
        """The fitted tokenizer. Raises SignalError DATA_TOKENIZER where the data set has none that fits the schema."""
        if self._tokenizer is None:
            path = None if self.folder is None else self.folder / TOKENIZER_FILE
            if path is None or not path.is_file():
                raise SignalError(
                    "DATA_TOKENIZER", "the text stream has no tokenizer", got=str(path), fix="ingest again"
                )
            tokenizer = self._checked(path.read_bytes())
            if self.schema.tokenizer == "trained":
                self._words = word_tokens(tokenizer, max_tokens=self.schema.max_tokens, lowercase=self.schema.lowercase)
            self._tokenizer = tokenizer
        return self._tokenizer

    def _checked(self, content: bytes) -> Tokenizer:
        tokenizer = load_tokenizer(content, max_tokens=self.schema.max_tokens)
        size, limit = tokenizer.get_vocab_size(), self.schema.vocabulary_size
        if size > limit:
            fix = f"set vocabulary_size: {size}"
            raise SignalError("DATA_TOKENIZER", "too many tokens", expected=f"<= {limit}", got=size, fix=fix)
        return tokenizer

    def _clean(self, value: str | bytes) -> str:
        limit = self.schema.max_characters
        room = limit * _NFC_SHRINK * (_BYTES_PER_CHARACTER if isinstance(value, bytes) else 1)
        if len(value) > room:
            raise _too_long(limit, len(value))
        text = unicodedata.normalize("NFC", _decode_utf8(value) if isinstance(value, bytes) else _check_str(value))
        if len(text) > limit:
            raise _too_long(limit, len(text))
        if "\0" in text:
            raise SignalError("DATA_NUL", "the text holds a NUL character", got={"character": text.index("\0")})
        if not text.strip() and not self.schema.allow_empty:
            fix = "leave the text out, or set allow_empty: true"
            raise SignalError("DATA_EMPTY_TEXT", "the text is empty", expected="1 character or more", got=0, fix=fix)
        return text


def _too_long(limit: int, length: int) -> SignalError:
    fix = "shorten the text, or raise max_characters"
    return SignalError("DATA_TOO_LARGE", "the text is too long", expected=f"<= {limit} characters", got=length, fix=fix)


def _decode_utf8(payload: bytes) -> str:
    try:
        return payload.decode("utf-8")
    except UnicodeDecodeError as error:
        raise SignalError(
            "DATA_ENCODING",
            f"the text is not UTF-8 at byte {error.start}",
            expected="UTF-8",
            got={"byte_offset": error.start},
            fix="convert the file to UTF-8",
        ) from error


def _check_str(text: str) -> str:
    """A string may hold surrogates, which no encoding can write."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        got = {"character": error.start}
        raise SignalError("DATA_ENCODING", "the text holds half a surrogate pair", expected="UTF-8", got=got) from error
    return text
