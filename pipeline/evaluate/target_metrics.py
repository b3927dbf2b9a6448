"""Metrics of targets beside the recipe's label, sorted into lines of a table."""

import re
from collections.abc import Mapping

from pipeline.evaluate.group_intervals import Interval
from pipeline.evaluate.results import FUSED

TARGET_SOURCES = ("probe", "finetune", "supervised", "mini_rocket", "features", "random_init", "metadata")
"""In column order; the first is the learned features, the second the tuned encoders, the others are controls."""
Line = tuple[str, str, float]
"""Target, streams, share of the labels in percent."""


def interval_of(values: Mapping[str, float], figure: str) -> Interval | None:
    """<figure>_low and <figure>_high, where they are there.

    >>> interval_of({"map": 0.5, "map_low": 0.4, "map_high": 0.6}, "map")
    (0.4, 0.6)
    """
    low, high = values.get(f"{figure}_low"), values.get(f"{figure}_high")
    return None if low is None or high is None else (low, high)


def by_target(kind: str, metrics: Mapping[str, float]) -> dict[Line, dict[str, dict[str, float]]]:
    """Line -> source -> figures by name, from <kind>/<target>/<source>/<streams>/<percent>/<figure>.

    All streams first, and few labels before many.

    >>> by_target("regression", {"regression/age/probe/fused/100/r2": 0.5, "probe/fused/linear/100/accuracy": 1.0})
    {('age', 'fused', 100.0): {'probe': {'r2': 0.5}}}
    """
    pattern = re.compile(rf"{kind}/([^/]+)/([^/]+)/([^/]+)/([0-9.]+)/([^/]+)")
    found: dict[Line, dict[str, dict[str, float]]] = {}
    for name, value in metrics.items():
        if match := pattern.fullmatch(name):
            target, source, streams, percent, figure = match.groups()
            line = found.setdefault((target, streams, float(percent)), {})
            line.setdefault(source, {})[figure] = value
    return dict(sorted(found.items(), key=lambda item: (item[0][0], item[0][1] != FUSED, item[0][1], item[0][2])))
