"""The kinds of streams there are: a new kind is a folder and a line in each union here."""

from pathlib import Path
from typing import Annotated, TypeAlias

from pydantic import Field

from modalities.image.codec import ImageCodec, ImageSchema
from modalities.image.stream import ImageStream
from modalities.sensor.codec import SensorCodec, SensorSchema
from modalities.sensor.stream import SensorStream
from modalities.spec import Codec
from modalities.text.codec import TextCodec, TextSchema
from modalities.text.stream import TextStream

AnySchema: TypeAlias = Annotated[SensorSchema | ImageSchema | TextSchema, Field(discriminator="kind")]
AnyStream: TypeAlias = Annotated[SensorStream | ImageStream | TextStream, Field(discriminator="kind")]


def codec_for(schema: SensorSchema | ImageSchema | TextSchema, folder: Path | None = None) -> Codec:
    """The codec of a schema. folder: where the files lie that the codec fitted for this stream."""
    match schema:
        case SensorSchema():
            return SensorCodec(schema, folder)
        case ImageSchema():
            return ImageCodec(schema, folder)
        case TextSchema():
            return TextCodec(schema, folder)
