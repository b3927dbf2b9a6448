"""What a relation mostly encodes: the consistency of every column against random pairing."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

import numpy as np

from pipeline.relations.local_consistency import Consistency

ENCODES_LIFT, PARTLY_LIFT = 0.5, 0.1
_SPREADS = 3.0
Level: TypeAlias = Literal["encodes", "partly", "not", "undefined"]
Encodes: TypeAlias = Literal["label", "nuisance", "nothing", "unjudged"]


@dataclass(frozen=True)
class ColumnFinding:
    """One column of the data set as the relation sees it.

    chance: consistency of random pairs. lift: (consistency - chance) / (1 - chance), None where the column is constant
    or no link joins two samples that have values. level: encodes from a lift of 0.5 on, partly from 0.1 on, both only
    beyond what random pairs would reach.
    """

    column: str
    is_label: bool
    consistency: Consistency
    chance: float
    lift: float | None
    level: Level


@dataclass(frozen=True)
class Verdict:
    """encodes: label where links say something about a label column; nuisance where they say something about group
    columns only, so that training on them teaches the nuisance; nothing where they are as good as random; unjudged
    where the data set has no label column to judge by. sentence: the same in words."""

    encodes: Encodes
    sentence: str

    @property
    def is_nuisance(self) -> bool:
        """True for a relation that encodes nothing but nuisance columns."""
        return self.encodes == "nuisance"


def random_consistency(labels: np.ndarray) -> float:
    """Probability that two different samples drawn at random have equal labels: sum_c n_c (n_c - 1) / (n (n - 1)).

    labels (n,) int64, -1 unknown and left out; NaN for fewer than two.

    >>> random_consistency(np.array([0, 0, 1, 1, -1]))
    0.3333333333333333
    """
    count = np.bincount(labels[labels >= 0]).astype(np.float64)
    total = count.sum()
    return float((count * (count - 1)).sum() / (total * (total - 1))) if total > 1 else math.nan


def judge_column(column: str, consistency: Consistency, labels: np.ndarray, *, is_label: bool) -> ColumnFinding:
    """Compare the consistency of a column with that of random pairs of its labelled samples."""
    chance = random_consistency(labels)
    if not consistency.num_nodes or not chance < 1:
        return ColumnFinding(column, is_label, consistency, chance, None, "undefined")
    lift = (consistency.node - chance) / (1 - chance)
    independent = min(consistency.num_links / 2, consistency.num_nodes)
    spread = math.sqrt(max(chance * (1 - chance), 1 / independent) / independent)
    beyond = consistency.node - chance > _SPREADS * spread
    level: Level = "not"
    if beyond and lift >= PARTLY_LIFT:
        level = "encodes" if lift >= ENCODES_LIFT else "partly"
    return ColumnFinding(column, is_label, consistency, chance, lift, level)


def verdict(columns: Sequence[ColumnFinding]) -> Verdict:
    """What the columns say together."""
    shown = {level: _by_lift([c for c in columns if c.level == level]) for level in ("encodes", "partly", "not")}
    ordered = [column for level in shown.values() for column in level]
    if not ordered:
        return Verdict(_encodes(columns), "links no samples that have values of any column")
    words = {"encodes": "encodes", "partly": "partly", "not": "not"}
    first = ordered[0].level
    words[first] = {"encodes": "encodes", "partly": "encodes partly", "not": "encodes none of"}[first]
    phrases = [
        f"{words[level]} {', '.join(_phrase(column, column is ordered[0]) for column in found)}"
        for level, found in shown.items()
        if found
    ]
    return Verdict(_encodes(columns), ", ".join(phrases))


def _encodes(columns: Sequence[ColumnFinding]) -> Encodes:
    speaking = [column for column in columns if column.level in {"encodes", "partly"}]
    if any(column.is_label for column in speaking):
        return "label"
    if not any(column.is_label and column.level != "undefined" for column in columns):
        return "unjudged" if speaking else "nothing"
    return "nuisance" if speaking else "nothing"


def _by_lift(columns: list[ColumnFinding]) -> list[ColumnFinding]:
    return sorted(columns, key=lambda column: -(column.lift or 0.0))


def _phrase(column: ColumnFinding, is_first: bool) -> str:
    figure = "consistency " if is_first else ""
    return f"{column.column} ({figure}{column.consistency.node:.2f}, chance {column.chance:.2f})"
