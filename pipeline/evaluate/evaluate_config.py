"""Configuration of `kindred evaluate`."""

from typing import Annotated, TypeAlias

from pydantic import Field

from modalities.spec import Config

Count: TypeAlias = Annotated[int, Field(ge=1)]
Rate: TypeAlias = Annotated[float, Field(gt=0, lt=1)]


class ReRankingConfig(Config):
    """k-reciprocal re-ranking of same-modality retrieval."""

    k1: int = Field(default=20, ge=2)
    """Neighbours that may be reciprocal."""
    k2: int = Field(default=6, ge=1)
    """Neighbours whose neighbourhoods are averaged; 1 averages none."""
    weight: float = Field(default=0.3, ge=0, le=1)
    """Weight of the original distance beside the Jaccard distance."""


class FewShotConfig(Config):
    """Episodes with a prototype classifier."""

    ways: int = Field(default=5, ge=2)
    """Classes of an episode; all of them where the label has fewer."""
    shots: tuple[Count, ...] = Field(default=(1, 5), min_length=1)
    """Labelled samples of each class."""
    queries: int = Field(default=15, ge=1)
    """Samples of each class that are classified."""
    episodes: int = Field(default=600, ge=2)
    """Episodes that are averaged."""
    across_subjects: bool = True
    """Support and queries of an episode come from different subjects, where the recipe names `subject`."""


class EvaluateConfig(Config):
    """What stored features of the test split are measured by."""

    session: str | None = None
    """Group column of one recording session: retrieval and verification go across sessions. None: across recordings."""
    identity: str | None = None
    """Group or label column that is verified and identified; None means `subject`, and without one the label."""
    recall_at: tuple[Count, ...] = Field(default=(1, 5, 10), min_length=1)
    """Ranks k of R@k."""
    re_ranking: ReRankingConfig | None = None
    """Also retrieve with k-reciprocal re-ranking; None leaves it out."""
    false_acceptance_rates: tuple[Rate, ...] = Field(default=(0.1, 0.01, 0.001), min_length=1)
    """Rates at which true acceptance is given, where there are impostor pairs enough."""
    false_identification_rates: tuple[Rate, ...] = Field(default=(0.1, 0.01), min_length=1)
    """Rates at which true identification is given, where there are probes of strangers enough."""
    few_shot: FewShotConfig = FewShotConfig()
    """Few-shot episodes."""
