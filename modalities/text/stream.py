"""A text stream of a recipe: how its views are made and what encodes it."""

from pathlib import Path
from typing import Literal

from modalities.compose import Compose
from modalities.spec import Modality, Statistics, StreamConfig
from modalities.text.augment import AnyTextTransform, TokenDropout
from modalities.text.codec import TextCodec, TextSchema
from modalities.text.encoder import AnyTextEncoder, Bert
from modalities.text.tokenizer import TRAINED_SPECIALS, special_tokens


class TextStream(StreamConfig):
    """Augmentation and encoder of one text stream."""

    kind: Literal["text"] = "text"
    """A text stream."""
    augment: tuple[AnyTextTransform, ...] = (TokenDropout(),)
    """Transforms of a view, in order."""
    encoder: AnyTextEncoder = Bert()
    """Network from tokens to features."""

    def modality(self, schema: TextSchema, statistics: Statistics, folder: Path | None = None) -> Modality:
        """Codec, augmentation and freshly initialised encoder."""
        codec = TextCodec(schema, folder)
        special = TRAINED_SPECIALS if schema.tokenizer == "trained" else special_tokens(codec.tokenizer)
        encoder = self.encoder.build(schema, statistics, special)
        augment = Compose(self.augment)  # pyright: ignore[reportArgumentType] - keeps_time is a ClassVar there
        return Modality(codec=codec, augment=augment, encoder=encoder)
