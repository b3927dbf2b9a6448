"""Lines of the regression table: what was read from learned features beside the same of the controls."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.evaluate.results import FUSED

REGRESSION_SOURCES = ("probe", "features", "random_init", "metadata")
"""In column order; the first is the learned features."""
_NAME = re.compile(r"regression/(?P<target>[^/]+)/(?P<source>[^/]+)/(?P<streams>[^/]+)/(?P<percent>[0-9.]+)/r2")


@dataclass(frozen=True)
class RegressionFigure:
    """R2 with its 95 % interval, where it has one, and the mean absolute error."""

    r2: float
    low: float | None
    high: float | None
    mae: float


@dataclass(frozen=True)
class RegressionLine:
    """figures: source -> figure, where it was measured; percent: share of the labels."""

    target: str
    streams: str
    percent: float
    figures: Mapping[str, RegressionFigure]


def regression_lines(metrics: Mapping[str, float]) -> list[RegressionLine]:
    """From the flat names of `RegressionRow.metrics`; all streams first, and few labels before many."""
    found: dict[tuple[str, str, float], dict[str, RegressionFigure]] = {}
    for name, value in metrics.items():
        if match := _NAME.fullmatch(name):
            prefix = name.removesuffix("r2")
            figure = RegressionFigure(
                value, metrics.get(f"{name}_low"), metrics.get(f"{name}_high"), metrics[f"{prefix}mae"]
            )
            key = match["target"], match["streams"], float(match["percent"])
            found.setdefault(key, {})[match["source"]] = figure
    ordered = sorted(found, key=lambda key: (key[0], key[1] != FUSED, key[1], key[2]))
    return [RegressionLine(*key, found[key]) for key in ordered]
