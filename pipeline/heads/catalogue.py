"""The closed union of heads: a new one is a file, a line here and a test."""

from typing import Annotated

from pydantic import Field

from pipeline.heads.arcface import ArcFace
from pipeline.heads.cosface import CosFace
from pipeline.heads.linear import Linear
from pipeline.heads.sphereface import SphereFace

AnyHead = Annotated[Linear | CosFace | ArcFace | SphereFace, Field(discriminator="kind")]
