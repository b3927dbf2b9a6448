"""The sequence probes on the console: every score of the learned features beside that of the controls."""

from collections.abc import Sequence

from jobs._console import Cells, Console
from pipeline.evaluate.sequence_lines import SCORE_TITLES, SEQUENCE_SOURCES, SequenceLine


def show_sequence(console: Console, lines: Sequence[SequenceLine], *, title: str) -> None:
    """Print the table, a row for every score."""
    header = ("target", "stream", "labels", "score", *SEQUENCE_SOURCES.values())
    console.table([header, *(cells for line in lines for cells in _cells(line))], title=title)


def _cells(line: SequenceLine) -> list[Cells]:
    name = (line.target, line.stream, f"{line.percent:g} %")
    return [
        (*name, title, *(_shown(line.figures[score].get(source)) for source in SEQUENCE_SOURCES))
        for score, title in SCORE_TITLES.items()
    ]


def _shown(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
