"""A sensor stream of a recipe: how its views are made and what encodes it."""

from pathlib import Path
from typing import Literal

from modalities.compose import Compose
from modalities.sensor.amplitude import ChannelDropout, Jitter, Scaling
from modalities.sensor.augment import AnySensorTransform
from modalities.sensor.codec import SensorCodec, SensorSchema
from modalities.sensor.encoder import AnySensorEncoder
from modalities.sensor.recognisable import recognisable
from modalities.sensor.resnet import ResNet
from modalities.sensor.timing import CropResize
from modalities.spec import Modality, Statistics, StreamConfig


class SensorStream(StreamConfig):
    """Augmentation and encoder of one sensor stream."""

    kind: Literal["sensor"] = "sensor"
    """A sensor stream."""
    augment: tuple[AnySensorTransform, ...] = (
        CropResize(min_fraction=0.5, resize=False),
        Scaling(strength=0.3, per_channel=True),
        ChannelDropout(rate=0.15),
        Jitter(strength=0.3),
    )
    """Transforms of a view, in order."""
    encoder: AnySensorEncoder = ResNet()
    """Network from readings to features."""

    def modality(self, schema: SensorSchema, statistics: Statistics, folder: Path | None = None) -> Modality:
        """Codec, augmentation and freshly initialised encoder."""
        encoder = self.encoder.build(schema, statistics)
        augment = Compose(self.augment)  # pyright: ignore[reportArgumentType] - keeps_time is a ClassVar there
        transforms = recognisable(len(schema.channels))
        return Modality(SensorCodec(schema, folder), augment, encoder, transforms=transforms)
