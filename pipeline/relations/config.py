"""Relations between samples that a recipe can name: the closed union of kinds."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, field_validator

from modalities.spec import Config


class RelationConfig(Config):
    """What every relation can be told."""

    weight: float = Field(default=1.0, ge=1e-6, le=1e6)
    """Factor on the weights of all its links; matters where several relations are added up."""


class SameRelation(RelationConfig):
    """Samples with equal values of a column."""

    kind: Literal["same"] = "same"
    """Equal values: same session, same subject, same device."""
    column: str
    """Group or label column. A sample without a value has no neighbours."""
    other: str | None = None
    """Column in which neighbours must differ, e.g. column=subject other=session; None links all with equal values."""


class TemporalRelation(RelationConfig):
    """Samples of one recording that start within some seconds of each other."""

    kind: Literal["temporal"] = "temporal"
    """Neighbours in time."""
    within_s: float = Field(gt=0, le=1e9)
    """Largest distance of two starts, in seconds."""
    column: str | None = None
    """Group column that names the recording, e.g. session; None means the raw record."""


class TagSetsRelation(RelationConfig):
    """Samples with nearly the same set of tags."""

    kind: Literal["tag_sets"] = "tag_sets"
    """Equal or close tag sets."""
    column: str
    """Group or label column that holds the tags."""
    separator: str = Field(default=";", min_length=1)
    """What stands between two tags."""
    radius: int = Field(default=0, ge=0)
    """Most tags that are in one set but not in the other; 0 links equal sets only."""


class NearestRelation(RelationConfig):
    """Samples whose standardised numbers are near to each other."""

    kind: Literal["nearest"] = "nearest"
    """k nearest neighbours; a link exists where either end chose the other."""
    columns: tuple[str, ...] = Field(min_length=1)
    """Group columns that hold numbers, e.g. age, weather, position. Each is standardised."""
    k: int = Field(default=10, ge=1)
    """Neighbours that every sample chooses."""


class EdgesRelation(RelationConfig):
    """Links listed in a file."""

    kind: Literal["edges"] = "edges"
    """An edge list of your own: a row names two samples."""
    path: str = Field(pattern=r"\.(csv|parquet)$")
    """CSV or Parquet file. A relative path starts at `data.root`, or at the working folder where there is none."""
    source: str = "source"
    """Column with the key of one sample."""
    target: str = "target"
    """Column with the key of the other sample."""
    weight_column: str | None = None
    """Column with positive weights; None gives all links the same weight."""


class MetaPathRelation(RelationConfig):
    """Samples that many paths over typed nodes connect, by PathSim (top n per row as in arXiv 2212.13847)."""

    kind: Literal["meta_path"] = "meta_path"
    """The most similar samples by PathSim along a symmetric path."""
    path: tuple[str, ...] = Field(min_length=1)
    """Group columns from a sample to another one, e.g. [session, device, session]; a palindrome of odd length."""
    top: int = Field(default=10, ge=1)
    """Most similar samples that every sample chooses."""
    separator: str | None = Field(default=None, min_length=1)
    """What stands between several values in one cell, e.g. tags; None means one value a cell."""

    @field_validator("path")
    @classmethod
    def _symmetric(cls, path: tuple[str, ...]) -> tuple[str, ...]:
        if len(path) % 2 == 0 or path != path[::-1]:
            raise ValueError(f"{list(path)} is not the same backwards with one column in the middle")
        return path


AnyRelation: TypeAlias = Annotated[
    SameRelation | TemporalRelation | TagSetsRelation | NearestRelation | EdgesRelation | MetaPathRelation,
    Field(discriminator="kind"),
]
