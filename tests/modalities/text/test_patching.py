"""Tokens that are hidden and asked for; special tokens never are, whatever the tokenizer calls them."""

from pathlib import Path

import torch
from tokenizers import Tokenizer, models

from modalities.spec import PatchEncoder, Signal
from modalities.text.codec import TextSchema
from modalities.text.encoder import Bert
from modalities.text.patching import TokenPatching
from modalities.text.stream import TextStream
from modalities.text.tokenizer import (
    MASK_TOKEN,
    SPECIALS,
    TRAINED_SPECIALS,
    load_tokenizer,
    special_tokens,
    train_tokenizer,
)

PATCHING = TokenPatching(300, MASK_TOKEN, TRAINED_SPECIALS.ids)
IDS = torch.tensor([[2, 17, 290, 18, 0], [2, 40, 0, 0, 0], [0, 0, 0, 0, 0]])
TEXTS = Signal(IDS, IDS > 0, torch.tensor([True, True, False]))


def test_tokens_are_asked_for_but_special_ones_and_padding() -> None:
    patches = PATCHING.patches(TEXTS)

    assert patches.values.equal(IDS[:, :, None])
    assert patches.known[:, :, 0].int().tolist() == [[0, 1, 1, 1, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]


def test_hidden_tokens_become_the_mask_token_and_keep_their_place() -> None:
    view = PATCHING.hide(TEXTS, torch.tensor([[0, 0, 1, 0, 0], [0, 1, 1, 0, 0], [0, 0, 0, 0, 0]], dtype=torch.bool))

    assert view.values.tolist() == [[2, 17, MASK_TOKEN, 18, 0], [2, MASK_TOKEN, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert view.hidden is not None
    assert view.hidden.int().tolist() == [[0, 0, 1, 0, 0], [0, 1, 0, 0, 0], [0, 0, 0, 0, 0]]
    assert view.mask is not None
    assert (view.mask | view.hidden).equal(IDS > 0)


def test_a_trained_tokenizer_has_the_special_tokens_that_encoders_expect() -> None:
    trained = load_tokenizer(train_tokenizer(["a jar"], size=300, lowercase=True), max_tokens=8)

    assert special_tokens(trained) == TRAINED_SPECIALS


def _saved(folder: Path, specials: list[str]) -> TextSchema:
    """A schema with a tokenizer of another maker, whose mask token is the last special one."""
    words = ["one", "two", *specials]
    tokenizer = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token=specials[0]))
    tokenizer.add_special_tokens(specials)
    tokenizer.save(str(folder / "tokenizer.json"))
    return TextSchema(max_tokens=8, vocabulary_size=300, tokenizer=str(folder))


def test_the_mask_token_of_a_named_tokenizer_is_found(tmp_path: Path) -> None:
    schema = _saved(tmp_path, ["<unk>", "<mask>"])
    encoder = TextStream(encoder=Bert(width=8, depth=1, heads=2)).modality(schema, {}, tmp_path).encoder

    assert isinstance(encoder, PatchEncoder)
    assert encoder.patching == TokenPatching(300, 3, (2, 3))
    assert SPECIALS.index("[MASK]") != 3


def test_without_a_mask_token_nothing_can_be_hidden(tmp_path: Path) -> None:
    schema = _saved(tmp_path, ["<unk>", "<s>"])
    encoder = TextStream(encoder=Bert(width=8, depth=1, heads=2)).modality(schema, {}, tmp_path).encoder

    assert not isinstance(encoder, PatchEncoder)
