"""Tokens of plain texts word by word: those of the tokenizer, which looks at every text anew."""

import re

from tokenizers import Tokenizer

# The words of byte-level pre-tokenizers (the pattern of GPT-2), written for ASCII.
_WORD = re.compile(r"'s|'t|'re|'ve|'m|'ll|'d| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+", re.ASCII)
_AS_STORED = {byte: chr(256 + byte) for byte in range(33)} | {127: chr(289)}
"""How byte-level vocabularies write ASCII characters that cannot be seen; the others stand for themselves."""
_MAX_KNOWN = 1 << 16
_MAX_LETTERS = 64  # longer words are not kept


class WordTokens:
    """Ids of ASCII texts by a tokenizer that `train_tokenizer` made; several threads may share one."""

    def __init__(self, tokenizer: Tokenizer, *, lowercase: bool, first: int, max_tokens: int) -> None:
        """first: the id that begins every text."""
        self.lowercase, self.first, self.max_tokens = lowercase, first, max_tokens
        self._model = tokenizer.model
        self._known: dict[str, tuple[int, ...]] = {}

    def ids(self, text: str) -> list[int] | None:
        """1..max_tokens ids; None where only the tokenizer knows: other characters, special tokens, nothing at all."""
        if not text or not text.isascii() or "[" in text:
            return None
        found, known = [self.first], self._known
        # No token spans a single space, which belongs to what follows it; runs of blanks have rules of their own.
        plain = text.isprintable() and "  " not in text and text[0] != " " != text[-1]
        parts = text.split(" ") if plain else [text.removeprefix(" ")]
        for part in parts:
            found += known.get(part) or self._new(part)
        return found[: self.max_tokens]

    def _new(self, part: str) -> tuple[int, ...]:
        text = " " + (part.lower() if self.lowercase else part)
        words = (self._model.tokenize(word.translate(_AS_STORED)) for word in _WORD.findall(text))
        ids = tuple(token.id for word in words for token in word)
        if len(part) <= _MAX_LETTERS and len(self._known) < _MAX_KNOWN:
            self._known[part] = ids
        return ids
