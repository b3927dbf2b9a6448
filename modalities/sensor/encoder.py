"""The closed union of sensor encoders: a new one is a file and a line here."""

from typing import Annotated

from pydantic import Field

from modalities.sensor.patch_transformer import PatchTransformer
from modalities.sensor.resnet import ResNet

AnySensorEncoder = Annotated[ResNet | PatchTransformer, Field(discriminator="kind")]
