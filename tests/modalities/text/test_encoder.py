"""Text encoders: hidden tokens do not count, and pretrained weights must fit the schema."""

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from transformers import (
    DistilBertConfig,
    DistilBertModel,
    GPT2Config,
    GPT2Model,
    PreTrainedModel,
    RobertaConfig,
    RobertaModel,
    XLMRobertaConfig,
    XLMRobertaModel,
)

from modalities.spec import Signal
from modalities.text.codec import TextSchema
from modalities.text.encoder import Bert, PretrainedText
from tests.modalities.tiny_weights import save_tiny_bert

SCHEMA = TextSchema(max_tokens=16, vocabulary_size=300)
SIZES = {
    "vocab_size": 300,
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
}


def texts() -> Signal:
    ids = torch.randint(5, 300, (4, 16), generator=torch.Generator().manual_seed(0))
    mask = torch.arange(16) < torch.tensor([16, 9, 3, 1])[:, None]
    return Signal(ids * mask, mask, torch.ones(4, dtype=torch.bool))


def test_pooled_is_the_mean_over_visible_tokens() -> None:
    encoder, signal = Bert(width=16).build(SCHEMA, {}), texts()
    encoded = encoder(signal)
    assert signal.mask is not None
    expected = torch.stack([row[seen].mean(dim=0) for row, seen in zip(encoded.sequence, signal.mask, strict=True)])

    torch.testing.assert_close(encoded.pooled, expected)
    assert encoded.sequence[~signal.mask].abs().sum() == 0


def test_the_order_of_tokens_counts() -> None:
    encoder, signal = Bert(width=16).build(SCHEMA, {}), texts()
    turned = Signal(signal.values[:1].flip(1), None, signal.present[:1])

    assert not torch.allclose(encoder(turned).pooled, encoder(signal).pooled[:1], atol=1e-4)


def test_a_text_without_visible_tokens_is_finite() -> None:
    encoder, signal = Bert(width=16).build(SCHEMA, {}), texts()
    assert signal.mask is not None
    encoded = encoder(Signal(signal.values, torch.zeros_like(signal.mask), signal.present))

    assert encoded.pooled.abs().sum() == 0


def test_dropout_is_off_unless_asked_for() -> None:
    plain, noisy = Bert(width=16).build(SCHEMA, {}), Bert(width=16, dropout=0.3).build(SCHEMA, {})

    torch.testing.assert_close(plain(texts()).pooled, plain(texts()).pooled, rtol=0, atol=0)
    assert not torch.equal(noisy(texts()).pooled, noisy(texts()).pooled)


@pytest.mark.parametrize(
    ("model", "config"),
    [
        (RobertaModel, RobertaConfig(**SIZES, max_position_embeddings=18)),
        (XLMRobertaModel, XLMRobertaConfig(**SIZES, max_position_embeddings=18)),
        (DistilBertModel, DistilBertConfig(vocab_size=300, dim=16, n_layers=2, n_heads=2, hidden_dim=32)),
    ],
    ids=["roberta", "xlm-roberta", "distilbert"],
)
def test_other_architectures_can_be_pretrained(model: type[PreTrainedModel], config: object, tmp_path: Path) -> None:
    model(config).save_pretrained(tmp_path)
    encoder = PretrainedText(name=str(tmp_path)).build(SCHEMA, {}).train()
    encoded = encoder(texts())
    encoded.pooled.pow(3).sum().backward()

    torch.testing.assert_close(encoder(texts()).pooled, encoded.pooled, rtol=0, atol=0)  # their dropout is off
    assert [n for n, p in encoder.named_parameters() if p.requires_grad and p.grad is None] == []
    assert {id(p) for block in encoder.blocks() for p in block.parameters()} == {id(p) for p in encoder.parameters()}


def test_weights_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    save_tiny_bert(tmp_path / "bert")
    GPT2Model(GPT2Config(vocab_size=300, n_embd=16, n_layer=1, n_head=2)).save_pretrained(tmp_path / "gpt2")
    many = SCHEMA.model_copy(update={"vocabulary_size": 301})
    long = SCHEMA.model_copy(update={"max_tokens": 65})

    for name, schema, message in (("bert", many, "301"), ("bert", long, "65"), ("gpt2", SCHEMA, "supported are")):
        with pytest.raises(ValueError, match=message):
            PretrainedText(name=str(tmp_path / name)).build(schema, {})
    with pytest.raises(ValidationError, match="multiple of heads"):
        Bert(width=30)
