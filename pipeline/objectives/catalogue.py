"""The closed union of objectives: a new one is a file, a line here and a test."""

from typing import Annotated

from pydantic import Field

from pipeline.objectives.cross import CrossModal
from pipeline.objectives.intra import IntraSample
from pipeline.objectives.moments import Moments

AnyObjective = Annotated[IntraSample | CrossModal | Moments, Field(discriminator="kind")]
