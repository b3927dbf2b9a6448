"""Lines of the regression table: what was read from learned features beside the same of the controls."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.evaluate.target_metrics import by_target


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
    """From the flat names of `RegressionRow.metrics`."""
    return [
        RegressionLine(*line, {source: _figure(values) for source, values in sources.items()})
        for line, sources in by_target("regression", metrics).items()
    ]


def _figure(values: Mapping[str, float]) -> RegressionFigure:
    return RegressionFigure(values["r2"], values.get("r2_low"), values.get("r2_high"), values["mae"])
