"""Configuration of the probes."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field

from modalities.spec import Config

Method: TypeAlias = Literal["linear", "knn"]
Percent: TypeAlias = Annotated[float, Field(gt=0, le=100)]
Positive: TypeAlias = Annotated[float, Field(gt=0)]
Count: TypeAlias = Annotated[int, Field(ge=1)]


class ProbeConfig(Config):
    """The grid of probes."""

    methods: tuple[Method, ...] = Field(("linear", "knn"), min_length=1)
    """`linear` is multinomial logistic regression, `knn` weighted cosine neighbours."""
    label_percents: tuple[Percent, ...] = Field((1, 10, 100), min_length=1)
    """Percentages of the labelled training samples."""
    draws: int = Field(5, ge=1)
    """Label draws per percentage below 100."""
    folds: int = Field(3, ge=2)
    """Folds of whole groups that choose the regularisation."""
    inverse_strengths: tuple[Positive, ...] = Field(
        (1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 10.0, 100.0), min_length=1
    )
    """Candidates of C: larger regularises less."""
    default_inverse_strength: float = Field(1.0, gt=0)
    """C where the labels of a draw do not allow validation on held-out groups."""
    neighbours: tuple[Count, ...] = Field((1, 5, 10, 20, 50), min_length=1)
    """Candidates of k."""
    default_neighbours: int = Field(5, ge=1)
    """k where the labels of a draw do not allow validation on held-out groups."""
