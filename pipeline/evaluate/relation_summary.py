"""What the report says of a relation: the figures that `kindred relations` wrote, read back."""

from collections.abc import Mapping

from pydantic import JsonValue, TypeAdapter

from modalities.spec import Config

COUNTED = {
    "outside": "rows touch samples outside the pretraining split and were dropped",
    "self_loops": "rows link a sample to itself and were dropped",
    "duplicates": "rows repeat another one and were dropped",
    "one_directional": "links had one direction and were completed",
    "unknown": "samples lack a value",
}
"""Finding -> what its number counts."""


class ColumnConsistency(Config, extra="ignore"):
    """One column: how often linked samples agree in it."""

    is_label: bool
    """A label column; the others are groups."""
    consistency: dict[str, float | None]
    """LC_node, LC_edge and LC_maj as node, edge and majority; None where no link joins samples that have values."""
    chance: float | None
    """The same of random pairs."""
    level: str
    """encodes, partly, not or undefined."""


class RelationSummary(Config, extra="ignore"):
    """One relation over the pretraining split."""

    kind: str
    """How it was declared."""
    num_links: int
    """Each link once."""
    mean_degree: float
    """Neighbours of a sample."""
    isolated_share: float
    """Share of samples without a neighbour."""
    components: dict[str, int]
    """Connected parts: count, and samples in the largest."""
    findings: dict[str, bool | int | str | None]
    """What was dropped, completed or unknown."""
    columns: dict[str, ColumnConsistency]
    """By column."""
    verdict: dict[str, str | bool]
    """encodes, sentence, is_nuisance."""

    @property
    def sentence(self) -> str:
        """What it encodes, to go after its name."""
        return str(self.verdict["sentence"])

    @property
    def is_nuisance(self) -> bool:
        """True where it encodes nothing but nuisance columns."""
        return self.verdict["is_nuisance"] is True

    def notes(self) -> list[str]:
        """What else a reader has to know."""
        known = "it is built from a label: what it encodes of it is no evidence"
        found = [known] if self.findings.get("uses_label") else []
        return found + [f"{self.findings[key]} {text}" for key, text in COUNTED.items() if self.findings.get(key)]


def relation_columns(relations: Mapping[str, RelationSummary]) -> list[str]:
    """Every column that any relation was judged by, in order."""
    return list(dict.fromkeys(name for relation in relations.values() for name in relation.columns))


def read_relations(document: JsonValue) -> dict[str, RelationSummary]:
    """Relations by name, from `relations` of the stage's result. Raises pydantic's ValidationError."""
    return TypeAdapter(dict[str, RelationSummary]).validate_python(document or {})
