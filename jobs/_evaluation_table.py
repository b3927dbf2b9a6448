"""The evaluation on the console: each figure of the learned features beside those of the controls."""

from collections.abc import Sequence

from jobs._console import Cells, Console
from pipeline.evaluate.evaluation import Evaluation
from pipeline.evaluate.evaluation_rows import SOURCES, EvaluationRow, evaluation_rows
from pipeline.evaluate.results import TITLES, shown_sources


def show_evaluation(console: Console, found: Evaluation, *, title: str) -> None:
    """Print the table, then what was refused, once for all sources."""
    rows = evaluation_rows(found.metrics)
    controls = shown_sources(SOURCES, (row.figures for row in rows))[1:]
    header = ("figure", "streams", "Kindred", "95 % interval", *(TITLES[source] for source in controls))
    console.table([header, *(_cells(row, controls) for row in rows)], title=title)
    for name, reason in found.refused.items():
        console.line(f"left out: {name}: {reason}")


def _cells(row: EvaluationRow, controls: Sequence[str]) -> Cells:
    own = row.figures.get(SOURCES[0])
    interval = "" if own is None or own.low is None or own.high is None else f"{own.low:.3f} - {own.high:.3f}"
    values = [f"{row.figures[s].value:.3f}" if s in row.figures else "" for s in (SOURCES[0], *controls)]
    return row.title, row.streams, values[0], interval, *values[1:]
