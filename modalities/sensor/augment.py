"""Views of sensor series: the closed union of transforms. A new one is a class and a line here."""

from typing import Annotated

from pydantic import Field

from modalities.sensor.amplitude import ChannelDropout, FrequencyMask, Jitter, Negation, Rotation, Scaling, TimeMask
from modalities.sensor.frequency import FrequencyPerturbation
from modalities.sensor.timing import CropResize, Permutation, Reversal, TimeShift, TimeWarp
from modalities.sensor.tsaug_recipe import TsaugRecipe

AnySensorTransform = Annotated[
    Jitter
    | Scaling
    | Negation
    | Rotation
    | ChannelDropout
    | TimeMask
    | FrequencyMask
    | FrequencyPerturbation
    | CropResize
    | TimeWarp
    | Permutation
    | Reversal
    | TimeShift
    | TsaugRecipe,
    Field(discriminator="kind"),
]
