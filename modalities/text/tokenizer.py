"""Tokenizers: byte-level BPE trained on the data, or a named one. Always kept as the text of a tokenizer.json."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from modalities.spec import SignalError
from modalities.text.words import WordTokens

SPECIALS = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
MASK_TOKEN = SPECIALS.index("[MASK]")
NUM_FIXED = len(SPECIALS) + 256
"""Tokens a trained tokenizer always has: the specials and every byte, so no text is unknown."""
_MASKS = ("[MASK]", "<mask>")  # as BERT and RoBERTa write it


@dataclass(frozen=True)
class SpecialTokens:
    """Ids of the tokens that are no part of a text. mask: what stands for a hidden one; None where there is none."""

    ids: tuple[int, ...]
    mask: int | None


TRAINED_SPECIALS = SpecialTokens(tuple(range(len(SPECIALS))), MASK_TOKEN)


def train_tokenizer(texts: Iterable[str], *, size: int, lowercase: bool) -> bytes:
    """Byte-level BPE (arXiv 1508.07909 on bytes) with at most `size` tokens; every text starts with [CLS].

    Equal texts in equal order give equal bytes. WordPiece does not: its trainer breaks ties by hash order.
    """
    tokenizer = Tokenizer(models.BPE())
    if lowercase:
        tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        special_tokens=list(SPECIALS),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(texts, trainer)
    special = [("[CLS]", SPECIALS.index("[CLS]"))]
    tokenizer.post_processor = processors.TemplateProcessing(single="[CLS] $A", special_tokens=special)
    return tokenizer.to_str().encode()


def read_named(name: str) -> bytes:
    """tokenizer.json of a local folder or a hub repository. Raises SignalError DATA_TOKENIZER."""
    path = Path(name) / "tokenizer.json"
    if path.is_file():
        return path.read_bytes()
    try:
        return Tokenizer.from_pretrained(name).to_str().encode()
    except Exception as error:  # the Rust library raises plain Exception
        fix = "name a folder that holds tokenizer.json, or a hub repository that can be reached"
        raise SignalError("DATA_TOKENIZER", f"cannot load tokenizer {name!r}", got=name, fix=fix) from error


def load_tokenizer(content: bytes, *, max_tokens: int) -> Tokenizer:
    """The tokenizer, set to cut at `max_tokens` and not to pad. Raises SignalError DATA_TOKENIZER."""
    try:
        tokenizer = Tokenizer.from_buffer(content)
    except Exception as error:  # the Rust library raises plain Exception
        raise SignalError(
            "DATA_TOKENIZER", "tokenizer.json is damaged", got=len(content), fix="ingest again"
        ) from error
    tokenizer.no_padding()
    tokenizer.enable_truncation(max_tokens)
    return tokenizer


def special_tokens(tokenizer: Tokenizer) -> SpecialTokens:
    """The special tokens of any tokenizer."""
    ids = {token.content: number for number, token in tokenizer.get_added_tokens_decoder().items() if token.special}
    return SpecialTokens(tuple(sorted(ids.values())), next((ids[name] for name in _MASKS if name in ids), None))


def word_tokens(tokenizer: Tokenizer, *, max_tokens: int, lowercase: bool) -> WordTokens | None:
    """The same tokens word by word; None for a tokenizer that `train_tokenizer` did not make."""
    ours = train_tokenizer((), size=NUM_FIXED, lowercase=lowercase)
    if _settings(tokenizer.to_str()) != _settings(ours):
        return None
    return WordTokens(tokenizer, lowercase=lowercase, first=SPECIALS.index("[CLS]"), max_tokens=max_tokens)


def _settings(content: str | bytes) -> dict[str, object]:
    """A tokenizer.json without what was learned and how texts are cut."""
    parts = json.loads(content)
    model = {name: value for name, value in parts["model"].items() if name not in ("vocab", "merges")}
    return {**parts, "model": model, "truncation": None}
