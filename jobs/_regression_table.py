"""The regression probes on the console: R2 of the learned features beside that of the controls."""

from collections.abc import Sequence

from jobs._console import Cells, Console
from pipeline.evaluate.regression_lines import RegressionLine
from pipeline.evaluate.results import TITLES, shown_sources
from pipeline.evaluate.target_metrics import TARGET_SOURCES


def show_regression(console: Console, lines: Sequence[RegressionLine], *, title: str) -> None:
    """Print the table."""
    controls = shown_sources(TARGET_SOURCES, (line.figures for line in lines))[1:]
    header = ("target", "streams", "labels", "Kindred", "95 % interval", "MAE")
    cells = [(*header, *(TITLES[source] for source in controls)), *(_cells(line, controls) for line in lines)]
    console.table(cells, title=title)


def _cells(line: RegressionLine, controls: Sequence[str]) -> Cells:
    own = line.figures[TARGET_SOURCES[0]]
    interval = "" if own.low is None or own.high is None else f"{own.low:.3f} to {own.high:.3f}"
    figures = (line.figures.get(source) for source in controls)
    others = ("" if figure is None else f"{figure.r2:.3f}" for figure in figures)
    return line.target, line.streams, f"{line.percent:g} %", f"{own.r2:.3f}", interval, f"{own.mae:.4g}", *others
