"""What building a relation returns."""

from dataclasses import dataclass

from pipeline.relations.cliques import Cliques
from pipeline.relations.edges import Edges


@dataclass(frozen=True)
class Findings:
    """What was not as one might think, counted.

    Edge files: self_loops and duplicates were dropped, one_directional links completed (also of nearest neighbours:
    only one end chose the other), outside = rows that touch samples outside the pretraining split, never used.
    unknown: samples without a value of the columns (or without a time). isolated: samples without a neighbour.
    uses_label: built from a label column. sha256: of the file that was read.
    """

    self_loops: int = 0
    duplicates: int = 0
    one_directional: int = 0
    outside: int = 0
    unknown: int = 0
    isolated: int = 0
    uses_label: bool = False
    sha256: str | None = None


@dataclass(frozen=True)
class Built:
    """A relation over the pretraining rows, and what was found on the way."""

    relation: Cliques | Edges
    findings: Findings
