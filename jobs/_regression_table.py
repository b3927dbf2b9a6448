"""The regression probes on the console: R2 of the learned features beside that of the controls."""

from collections.abc import Sequence

from jobs._console import Cells, Console, plain_table
from pipeline.evaluate.regression_lines import REGRESSION_SOURCES, RegressionLine
from pipeline.evaluate.results import TITLES


def show_regression(console: Console, lines: Sequence[RegressionLine], *, title: str) -> None:
    """Print the table."""
    header = ("target", "streams", "labels", "Kindred", "95 % interval", "MAE")
    console.line(title)
    cells = [(*header, *(TITLES[source] for source in REGRESSION_SOURCES[1:])), *map(_cells, lines)]
    for line in plain_table(cells).split("\n"):
        console.line(line)


def _cells(line: RegressionLine) -> Cells:
    own = line.figures[REGRESSION_SOURCES[0]]
    interval = "" if own.low is None or own.high is None else f"{own.low:.3f} to {own.high:.3f}"
    controls = (line.figures.get(source) for source in REGRESSION_SOURCES[1:])
    others = ("" if figure is None else f"{figure.r2:.3f}" for figure in controls)
    return line.target, line.streams, f"{line.percent:g} %", f"{own.r2:.3f}", interval, f"{own.mae:.4g}", *others
