"""What a study found: accuracies of every variant over its seeds, differences to the first, what they share once."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from pipeline.evaluate.results import TITLES, method_rank, rows_from_metrics

EVERY_VARIANT = "every variant"
PRETRAIN_S = "time/pretrain_s"
Metrics = Mapping[int, Mapping[str, float]]
"""Seed -> metrics of a finished run."""
Found = Mapping[str, Metrics]
"""By variant."""
BySeed = dict[int, float]


@dataclass(frozen=True)
class Line:
    """Accuracies in percent of a method on a subset of streams: share of the labels -> seed -> value."""

    variant: str
    subset: str
    method: str
    cells: dict[float, BySeed]

    @property
    def row(self) -> tuple[str, str]:
        """What is compared between variants."""
        return self.subset, self.method


@dataclass(frozen=True)
class StudyTable:
    """own: results of the variants, and what was measured before they branch; differences: to the first variant's of
    the same seed; seconds: of pretraining."""

    own: list[Line]
    differences: list[Line]
    controls: list[Line]
    seconds: dict[str, list[float]]

    def markdown(self) -> str:
        """Tables with a column per share of labels: mean ± sample sd over seeds."""
        shares = sorted({share for line in (*self.own, *self.controls) for share in line.cells})
        header = ["variant", "streams", "method", *(f"{share:g} % labels" for share in shares)]
        body = [[*_cells(line, shares), cell(self.seconds.get(line.variant, []))] for line in self.own]
        controls = [[*_cells(line, shares), ""] for line in self.controls]
        text = _markdown([*header, "pretraining, s"], [*body, *controls])
        if not self.differences:
            return text
        gains = [_cells(line, shares, signed=True) for line in self.differences]
        return f"{text}\n\nMinus the first variant, seed by seed:\n\n{_markdown(header, gains)}"

    def document(self) -> dict[str, JsonValue]:
        """The same as JSON."""
        return {
            "rows": _documents(self.own),
            "differences": _documents(self.differences),
            "controls": _documents(self.controls),
        }


def study_table(found: Found, shared: Metrics) -> StudyTable:
    """The table of finished runs; the first variant is what the others are compared with.

    shared: what was measured before the variants branch.
    """
    variants = [*found]
    everything = {EVERY_VARIANT: shared, **found}
    lines = sorted(_lines(everything), key=lambda each: (each[1].subset, method_rank(each[1].method)))
    own = [line for is_control, line in lines if not is_control]
    controls = [line for is_control, line in lines if is_control]
    seconds = {name: [m[PRETRAIN_S] for m in by.values() if PRETRAIN_S in m] for name, by in everything.items()}
    return StudyTable(own, _differences(own, variants[0]), _merged(controls, variants), seconds)


def cell(values: Sequence[float], *, signed: bool = False) -> str:
    """Mean ± sample sd; "" without values."""
    if not values:
        return ""
    mean = f"{statistics.mean(values):{'+' if signed else ''}.1f}"
    return f"{mean} ± {statistics.stdev(values):.1f}" if len(values) > 1 else mean


def _lines(found: Found) -> list[tuple[bool, Line]]:
    cells: dict[tuple[bool, str, str, str], dict[float, BySeed]] = {}
    for variant, by_seed in found.items():
        for seed, metrics in by_seed.items():
            for row in rows_from_metrics(metrics):
                shares = cells.setdefault((row.is_control, variant, row.subset, row.method), {})
                shares.setdefault(row.percent, {})[seed] = 100 * row.accuracy
    return [
        (is_control, Line(variant, subset, method, shares))
        for (is_control, variant, subset, method), shares in cells.items()
    ]


def _differences(own: Iterable[Line], first: str) -> list[Line]:
    own = list(own)
    base = {line.row: line.cells for line in own if line.variant == first}
    others = [line for line in own if line.variant != first and line.row in base]
    return [
        Line(
            line.variant,
            *line.row,
            {share: _minus(by, base[line.row].get(share, {})) for share, by in line.cells.items()},
        )
        for line in others
    ]


def _minus(values: BySeed, base: BySeed) -> BySeed:
    return {seed: value - base[seed] for seed, value in values.items() if seed in base}


def _merged(controls: Sequence[Line], variants: Sequence[str]) -> list[Line]:
    """A control that came out the same in several variants is one line."""
    groups: dict[str, list[Line]] = {}
    for line in controls:
        groups.setdefault(repr((line.row, line.cells)), []).append(line)
    merged = []
    for same in groups.values():
        names = [line.variant for line in same]
        name = EVERY_VARIANT if len(names) == len(variants) > 1 else ", ".join(names)
        merged.append(Line(name, *same[0].row, same[0].cells))
    return merged


def _cells(line: Line, shares: Sequence[float], *, signed: bool = False) -> list[str]:
    texts = [line.variant, line.subset, TITLES.get(line.method, line.method)]
    for share in shares:
        values = list(line.cells.get(share, {}).values())
        each = f" ({', '.join(f'{value:+.1f}' for value in values)})" if signed and len(values) > 1 else ""
        texts.append(cell(values, signed=signed) + each)
    return texts


def _markdown(header: Sequence[str], body: Iterable[Sequence[str]]) -> str:
    lines = [header, ["---", "---", "---", *["---:"] * (len(header) - 3)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _documents(lines: Iterable[Line]) -> list[JsonValue]:
    return [
        {
            "variant": line.variant,
            "streams": line.subset,
            "method": line.method,
            "accuracy_percent": {f"{share:g}": {str(s): v for s, v in by.items()} for share, by in line.cells.items()},
        }
        for line in lines
    ]
