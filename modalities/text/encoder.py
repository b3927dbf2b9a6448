"""Text encoders: a small BERT from random weights, or pretrained weights. Axes: B samples, L tokens, D features."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import Field, model_validator
from torch import nn

from modalities.backbone import depth_blocks, load_pretrained
from modalities.spec import Config, Encoded, Signal, Statistics
from modalities.text.codec import TextSchema
from modalities.text.patching import TokenPatching, observed_tokens
from modalities.text.tokenizer import TRAINED_SPECIALS, SpecialTokens

if TYPE_CHECKING:
    from transformers import PreTrainedModel

# Positions an architecture reserves in its position table.
_RESERVED = {"bert": 0, "distilbert": 0, "roberta": 2, "xlm-roberta": 2}


class Bert(Config):
    """BERT encoder (arXiv 1810.04805) from random weights; features are the mean over visible tokens."""

    kind: Literal["bert"] = "bert"
    """Transformer over tokens."""
    width: int = Field(default=128, ge=8)
    """Size D of the features."""
    depth: int = Field(default=2, ge=1, le=1024)
    """Transformer blocks."""
    heads: int = Field(default=4, ge=1)
    """Attention heads; must divide the width."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout of the embeddings, attention weights and residual branches."""

    @model_validator(mode="after")
    def _consistent(self) -> "Bert":
        if self.width % self.heads:
            raise ValueError(f"width ({self.width}) must be a multiple of heads ({self.heads})")
        return self

    def build(
        self, schema: TextSchema, statistics: Statistics, special: SpecialTokens = TRAINED_SPECIALS
    ) -> "TextEncoder":
        from transformers import BertConfig, BertModel  # imported late: it takes seconds

        config = BertConfig(
            vocab_size=schema.vocabulary_size,
            max_position_embeddings=schema.max_tokens,
            hidden_size=self.width,
            intermediate_size=4 * self.width,
            num_hidden_layers=self.depth,
            num_attention_heads=self.heads,
            hidden_dropout_prob=self.dropout,
            attention_probs_dropout_prob=self.dropout,
            initializer_range=self.width**-0.5,  # BERT's 0.02 leaves narrow layers silent: they then learn very slowly
            type_vocab_size=1,
        )
        return TextEncoder(BertModel(config, add_pooling_layer=False), special)


class PretrainedText(Config):
    """Public weights: BERT, DistilBERT, RoBERTa or XLM-RoBERTa. Safetensors only, no code from the repository."""

    kind: Literal["pretrained"] = "pretrained"
    """Pretrained weights; the schema's tokenizer must be theirs."""
    name: str = Field(min_length=1)
    """Hub name or local folder."""
    revision: str | None = None
    """Commit of a hub repository, for a run that can be repeated; None means its newest."""
    dropout: float = Field(default=0.0, ge=0, lt=1)
    """Dropout everywhere, in place of the value the weights come with."""

    def build(
        self, schema: TextSchema, statistics: Statistics, special: SpecialTokens = TRAINED_SPECIALS
    ) -> "TextEncoder":
        """Raises ValueError where the weights cannot be used with this schema."""
        model = load_pretrained(self.name, revision=self.revision, families=_RESERVED)
        config = model.config
        positions = config.max_position_embeddings - _RESERVED[config.model_type]
        if schema.vocabulary_size > config.vocab_size or schema.max_tokens > positions:
            raise ValueError(
                f"{self.name} has {config.vocab_size} tokens and {positions} positions; the schema asks for "
                f"{schema.vocabulary_size} and {schema.max_tokens}"
            )
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = self.dropout
        return TextEncoder(model, special)


AnyTextEncoder = Annotated[Bert | PretrainedText, Field(discriminator="kind")]


class TextEncoder(nn.Module):
    """Token ids (B, L) with mask -> Encoded with S = L; masked positions are zero."""

    def __init__(self, backbone: "PreTrainedModel", special: SpecialTokens) -> None:
        super().__init__()
        self.backbone = backbone
        self.width = int(backbone.config.hidden_size)
        if special.mask is not None:  # nothing can be hidden without
            self.patching = TokenPatching(int(backbone.config.vocab_size), special.mask, special.ids)

    def forward(self, signal: Signal) -> Encoded:
        mask = observed_tokens(signal)
        if signal.hidden is not None:
            mask = mask | signal.hidden
        attended = mask | ~mask.any(dim=1, keepdim=True)  # attention over nothing is NaN
        hidden = self.backbone(input_ids=signal.values, attention_mask=attended.long()).last_hidden_state
        sequence = hidden * mask[:, :, None]
        pooled = sequence.sum(dim=1) / mask.sum(dim=1, keepdim=True).clamp(min=1)
        return Encoded(pooled, sequence, mask)

    def blocks(self) -> Sequence[nn.Module]:
        return depth_blocks(self.backbone)
