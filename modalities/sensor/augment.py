"""Views of sensor series: the closed union of transforms. A new one is a class and a line here."""

from typing import Annotated

from pydantic import Field

from modalities.sensor.amplitude import ChannelDropout, FrequencyMask, Jitter, Rotation, Scaling, TimeMask
from modalities.sensor.timing import CropResize, Permutation, TimeShift, TimeWarp
from modalities.sensor.tsaug_recipe import TsaugRecipe

AnySensorTransform = Annotated[
    Jitter
    | Scaling
    | Rotation
    | ChannelDropout
    | TimeMask
    | FrequencyMask
    | CropResize
    | TimeWarp
    | Permutation
    | TimeShift
    | TsaugRecipe,
    Field(discriminator="kind"),
]
