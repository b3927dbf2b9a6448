"""Configuration of the probes."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from modalities.spec import Config
from pipeline.evaluate.mini_rocket import MiniRocketConfig

Method: TypeAlias = Literal["linear", "knn"]
Percent: TypeAlias = Annotated[float, Field(gt=0, le=100)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
Count: TypeAlias = Annotated[int, Field(ge=1)]


class ProbeConfig(Config):
    """The grid of probes."""

    methods: tuple[Method, ...] = Field(default=("linear", "knn"), min_length=1)
    """`linear` is multinomial logistic regression, `knn` weighted cosine neighbours."""
    label_percents: tuple[Percent, ...] = Field(default=(1, 5, 10, 25, 50, 100), min_length=1)
    """Percentages of the labelled training samples."""
    draws: int = Field(default=5, ge=1)
    """Label draws per percentage below 100."""
    folds: int = Field(default=3, ge=2)
    """Folds of whole groups that choose the regularisation."""
    inverse_strengths: tuple[Positive, ...] = Field(
        default=(1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 10.0, 100.0), min_length=1
    )
    """Candidates of C: larger regularises less."""
    default_inverse_strength: float = Field(default=1.0, gt=0)
    """C where the labels of a draw do not allow validation on held-out groups."""
    neighbours: tuple[Count, ...] = Field(default=(1, 5, 10, 20, 50), min_length=1)
    """Candidates of k."""
    default_neighbours: int = Field(default=5, ge=1)
    """k where the labels of a draw do not allow validation on held-out groups."""
    mini_rocket: MiniRocketConfig | None = None
    """A further control: MiniRocket features of sensor streams. None leaves it out, for its cost: about a minute per
    10,000 windows of 128 steps, and as many feature columns to probe as it says, which takes longer still."""
