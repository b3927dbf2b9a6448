"""The closed union of heads: a new one is a file, a line here and a test."""

from typing import Annotated

from pydantic import Field

from pipeline.heads.arcface import ArcFace
from pipeline.heads.contra import Contra
from pipeline.heads.cosface import CosFace
from pipeline.heads.das import DAS
from pipeline.heads.distance_weighted import DistanceWeighted
from pipeline.heads.dual_path import DualPath
from pipeline.heads.dual_prototypical import DualPrototypical
from pipeline.heads.linear import Linear
from pipeline.heads.multi_similarity import MultiSimilarity
from pipeline.heads.nbc import NBC
from pipeline.heads.pairwise import Pairwise
from pipeline.heads.sphereface import SphereFace
from pipeline.heads.sup_con import SupCon
from pipeline.heads.triplet import Triplet
from pipeline.heads.weighted_triplet import WeightedTriplet

AnyHead = Annotated[
    Linear
    | CosFace
    | ArcFace
    | SphereFace
    | NBC
    | SupCon
    | Contra
    | Pairwise
    | MultiSimilarity
    | DistanceWeighted
    | Triplet
    | WeightedTriplet
    | DAS
    | DualPath
    | DualPrototypical,
    Field(discriminator="kind"),
]
