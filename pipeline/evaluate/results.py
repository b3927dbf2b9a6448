"""Rows of the results table: what a method reached on a subset of streams with a share of the labels."""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

FUSED = "fused"
Method: TypeAlias = Literal[
    "finetune", "linear", "knn", "supervised", "mini_rocket", "features", "random_init", "metadata"
]
TITLES: dict[str, str] = {
    "finetune": "Kindred, fine-tuned",
    "linear": "Kindred, linear probe",
    "knn": "Kindred, kNN probe",
    "supervised": "Supervised from scratch",
    "mini_rocket": "MiniRocket features",
    "features": "Hand-made features",
    "random_init": "Random encoder",
    "metadata": "Metadata only",
}
"""Method -> what it is called everywhere, in table order."""
CONTROLS = ("supervised", "mini_rocket", "features", "random_init", "metadata")
_PERCENT = r"(?P<percent>[0-9.]+)"
_VALUE = r"(?P<value>accuracy|accuracy_sd|accuracy_low|accuracy_high|f1_macro|shots)"
_NAMES = [
    re.compile(rf"probe/(?P<subset>[^/]+)/(?P<method>linear|knn)/{_PERCENT}/{_VALUE}"),
    re.compile(rf"control/(?P<method>{'|'.join(CONTROLS)})/(?P<subset>[^/]+)/{_PERCENT}/{_VALUE}"),
    re.compile(rf"(?P<method>finetune)/{_PERCENT}/{_VALUE}"),
]


@dataclass(frozen=True)
class ResultRow:
    """One measurement; accuracies are shares in [0, 1], `percent` is the share of labels in (0, 100].

    sd: spread over label draws or seeds. low, high: 95 % interval. shots: least samples of a class where the
    fraction would have given a class none; others may have more.
    """

    method: str
    subset: str
    percent: float
    accuracy: float
    sd: float | None = None
    low: float | None = None
    high: float | None = None
    f1: float | None = None
    shots: int | None = None

    @property
    def is_control(self) -> bool:
        return self.method in CONTROLS

    @property
    def title(self) -> str:
        return TITLES.get(self.method, self.method)

    @property
    def labels(self) -> str:
        """Share of the labels."""
        return f"{self.percent:g} % ({self.least})" if self.least else f"{self.percent:g} %"

    @property
    def least(self) -> str:
        """How many every class has at least, where the share would have given a class none; else ""."""
        return "" if self.shots is None else f"≥ {self.shots} a class"


def shown_sources(order: Sequence[str], lines: Iterable[Mapping[str, object]]) -> list[str]:
    """Columns of a table: the first of the sources, then the others that any line has a figure of.

    >>> shown_sources(["probe", "features", "random_init"], [{"random_init": 0.5}])
    ['probe', 'random_init']
    """
    known = {source for line in lines for source in line}
    return [order[0], *(source for source in order[1:] if source in known)]


def rows_from_metrics(metrics: Mapping[str, float]) -> list[ResultRow]:
    """Rows from the flat names of `result.json`, in table order; other names are no results."""
    found: dict[tuple[str, str, float], dict[str, float]] = defaultdict(dict)
    for name, value in metrics.items():
        match = next((m for pattern in _NAMES if (m := pattern.fullmatch(name))), None)
        if match:
            parts = match.groupdict()
            found[parts["method"], parts.get("subset", FUSED), float(parts["percent"])][parts["value"]] = value
    rows = [_row(key, values) for key, values in found.items() if "accuracy" in values]
    return sorted(rows, key=_order)


def _row(key: tuple[str, str, float], values: Mapping[str, float]) -> ResultRow:
    method, subset, percent = key
    return ResultRow(
        method,
        subset,
        percent,
        values["accuracy"],
        sd=values.get("accuracy_sd"),
        low=values.get("accuracy_low"),
        high=values.get("accuracy_high"),
        f1=values.get("f1_macro"),
        shots=int(values["shots"]) if "shots" in values else None,
    )


def _order(row: ResultRow) -> tuple[bool, str, int, float]:
    return row.subset != FUSED, row.subset, method_rank(row.method), row.percent


def method_rank(method: str) -> int:
    """Position of a method in tables and legends."""
    return list(TITLES).index(method) if method in TITLES else len(TITLES)
