"""Targets that are numbers on the console: R2 of learned features and tuned encoders beside that of the controls."""

from collections.abc import Sequence

from jobs._console import Cells, Console
from pipeline.evaluate.regression_lines import RegressionFigure, RegressionLine
from pipeline.evaluate.results import TITLES, shown_sources
from pipeline.evaluate.target_metrics import TARGET_SOURCES


def show_regression(console: Console, lines: Sequence[RegressionLine], *, title: str) -> None:
    """Print the table."""
    others = shown_sources(TARGET_SOURCES, (line.figures for line in lines))[1:]
    header = ("target", "streams", "labels", "Kindred", "95 % interval", "MAE")
    cells = [(*header, *(TITLES[source] for source in others)), *(_cells(line, others) for line in lines)]
    console.table(cells, title=title)


def _cells(line: RegressionLine, others: Sequence[str]) -> Cells:
    figures = (line.figures.get(source) for source in others)
    beside = ("" if figure is None else f"{figure.r2:.3f}" for figure in figures)
    return line.target, line.streams, f"{line.percent:g} %", *_own(line.figures.get(TARGET_SOURCES[0])), *beside


def _own(figure: RegressionFigure | None) -> tuple[str, str, str]:
    """Empty where the label share was fine-tuned with and not probed."""
    if figure is None:
        return "", "", ""
    interval = "" if figure.low is None or figure.high is None else f"{figure.low:.3f} to {figure.high:.3f}"
    return f"{figure.r2:.3f}", interval, f"{figure.mae:.4g}"
