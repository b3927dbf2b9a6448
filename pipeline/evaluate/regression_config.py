"""Configuration of the regression probes."""

from pydantic import Field

from modalities.spec import Config
from pipeline.evaluate.probe_config import Positive


class RegressionConfig(Config):
    """Numbers that ridge probes read from frozen features, with the label shares, draws and folds of `probe`;
    fine-tuning predicts them too."""

    targets: tuple[str, ...] = Field(min_length=1)
    """Label columns whose cells are numbers."""
    alphas: tuple[Positive, ...] = Field(default=(1e-4, 1e-3, 1e-2, 1e-1, 1.0, 10.0, 100.0, 1000.0), min_length=1)
    """Candidates of the penalty on the squared weights, against the mean squared error."""
    default_alpha: float = Field(default=1.0, gt=0)
    """The penalty where the labelled samples of a draw are of one group and cannot choose it."""
