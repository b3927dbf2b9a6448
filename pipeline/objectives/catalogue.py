"""The closed union of objectives: a new one is a file, a line here and a test."""

from typing import Annotated

from pydantic import Field

from pipeline.objectives.barlow import Barlow
from pipeline.objectives.cocoa import Cocoa
from pipeline.objectives.consistency import Consistency
from pipeline.objectives.contextual import Contextual
from pipeline.objectives.cross import CrossModal
from pipeline.objectives.factorized import Factorized
from pipeline.objectives.forecasting import Forecasting
from pipeline.objectives.inter import InterSample
from pipeline.objectives.intra import IntraSample
from pipeline.objectives.masked import Masked
from pipeline.objectives.meta_path_views import MetaPathViews
from pipeline.objectives.moments import Moments
from pipeline.objectives.momentum_keys import MomentumKeys
from pipeline.objectives.neighbourhood import Neighbourhood
from pipeline.objectives.predictive import Predictive
from pipeline.objectives.relational import Relational
from pipeline.objectives.swapped import Swapped
from pipeline.objectives.synchronized import Synchronized
from pipeline.objectives.transformations import Transformations
from pipeline.objectives.vicreg import VicReg

AnyObjective = Annotated[
    IntraSample
    | CrossModal
    | Moments
    | InterSample
    | Relational
    | MetaPathViews
    | MomentumKeys
    | VicReg
    | Barlow
    | Cocoa
    | Predictive
    | Swapped
    | Factorized
    | Contextual
    | Masked
    | Forecasting
    | Transformations
    | Synchronized
    | Neighbourhood
    | Consistency,
    Field(discriminator="kind"),
]
