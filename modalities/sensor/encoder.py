"""The closed union of sensor encoders: a new one is a file and a line here."""

from typing import Annotated

from pydantic import Field

from modalities.sensor.patch_transformer import PatchTransformer
from modalities.sensor.resnet import ResNet
from modalities.sensor.spectrum import Spectrum

AnySensorEncoder = Annotated[ResNet | PatchTransformer | Spectrum, Field(discriminator="kind")]
