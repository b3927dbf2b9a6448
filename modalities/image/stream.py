"""An image stream of a recipe: how its views are made and what encodes it."""

from pathlib import Path
from typing import Literal

from modalities.compose import Compose
from modalities.image.augment import AnyImageTransform, ColourJitter, Greyscale, ResizedCrop
from modalities.image.codec import ImageCodec, ImageSchema
from modalities.image.encoder import AnyImageEncoder, VisionTransformer
from modalities.spec import Modality, Statistics, StreamConfig


class ImageStream(StreamConfig):
    """Augmentation and encoder of one image stream."""

    kind: Literal["image"] = "image"
    """An image stream."""
    augment: tuple[AnyImageTransform, ...] = (ResizedCrop(), ColourJitter(), Greyscale())
    """Transforms of a view, in order."""
    encoder: AnyImageEncoder = VisionTransformer()
    """Network from pixels to features."""

    def modality(self, schema: ImageSchema, statistics: Statistics, folder: Path | None = None) -> Modality:
        """Codec, augmentation and freshly initialised encoder."""
        encoder = self.encoder.build(schema, statistics)
        augment = Compose(self.augment)  # pyright: ignore[reportArgumentType] - keeps_time is a ClassVar there
        return Modality(codec=ImageCodec(schema, folder), augment=augment, encoder=encoder)
