"""Rows of the results table: what a method reached on a subset of streams with a share of the labels."""

import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, TypeAlias

FUSED = "fused"
Method: TypeAlias = Literal["finetune", "linear", "knn", "supervised", "features", "random_init", "metadata"]
TITLES: dict[str, str] = {
    "finetune": "Kindred, fine-tuned",
    "linear": "Kindred, linear probe",
    "knn": "Kindred, kNN probe",
    "supervised": "Supervised from scratch",
    "features": "Hand-made features",
    "random_init": "Random encoder",
    "metadata": "Metadata only",
}
"""Method -> what it is called everywhere, in table order."""
CONTROLS = ("supervised", "features", "random_init", "metadata")
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

    sd: spread over label draws or seeds. low, high: 95 % interval. shots: samples per class where the fraction
    would have given less than one.
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
        return f"{self.percent:g} %" if self.shots is None else f"{self.shots}-shot"


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


def verdict(rows: Sequence[ResultRow]) -> str:
    """One sentence: the linear probe beside the strongest control, at the smallest and the largest label share."""
    fused = [row for row in rows if row.subset == FUSED]
    probes = {row.percent: row for row in fused if row.method == "linear"}
    if not probes:
        return "No probe has been run."
    return " ".join(_compare(probes[p], fused) for p in dict.fromkeys((min(probes), max(probes))))


def _compare(probe: ResultRow, rows: Sequence[ResultRow]) -> str:
    share = f"{probe.labels} of the labels"
    if probe.shots is not None:
        share = f"{probe.shots} labelled sample{'s' * (probe.shots > 1)} per class"
    reached = f"With {share} the linear probe reaches {100 * probe.accuracy:.1f} %"
    controls = [row for row in rows if row.is_control and row.method != "metadata" and row.percent == probe.percent]
    if not controls:
        return f"{reached}; no control was run."
    best = max(controls, key=lambda row: row.accuracy)
    gain = 100 * (probe.accuracy - best.accuracy)
    against = f"the best control ({best.title.lower()}, {100 * best.accuracy:.1f} %)"
    if _overlap(probe, best):
        return f"{reached}, within the uncertainty of {against}."
    return f"{reached}, {abs(gain):.1f} points {'above' if gain > 0 else 'below'} {against}."


def _overlap(a: ResultRow, b: ResultRow) -> bool:
    """True where the difference is not larger than the spread: intervals overlap, else one sd of each."""
    if a.low is not None and a.high is not None and b.low is not None and b.high is not None:
        return a.low <= b.high and b.low <= a.high
    return abs(a.accuracy - b.accuracy) <= (a.sd or 0.0) + (b.sd or 0.0)
