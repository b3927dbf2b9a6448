"""Sets of tags on the console: figures of learned features beside the mAP of tuned encoders and of the controls."""

from collections.abc import Sequence

from jobs._console import Cells, Console
from pipeline.evaluate.group_intervals import Interval
from pipeline.evaluate.multi_label_lines import MultiLabelFigure, MultiLabelLine
from pipeline.evaluate.results import TITLES, shown_sources
from pipeline.evaluate.target_metrics import TARGET_SOURCES

_FIGURES = ("Kindred", "95 % interval", "F1 macro", "95 % interval", "F1 micro", "whole sets")


def show_multi_label(console: Console, lines: Sequence[MultiLabelLine], *, title: str) -> None:
    """Print the table."""
    own, *others = shown_sources(TARGET_SOURCES, (line.figures for line in lines))
    header = ("target", "streams", "labels", *_FIGURES, *(TITLES[source] for source in others))
    console.table([header, *(_cells(line, own, others) for line in lines)], title=title)


def _cells(line: MultiLabelLine, own: str, others: Sequence[str]) -> Cells:
    beside = (f"{line.figures[source].map:.3f}" if source in line.figures else "" for source in others)
    return line.target, line.streams, f"{line.percent:g} %", *_own(line.figures.get(own)), *beside


def _own(figure: MultiLabelFigure | None) -> Cells:
    """Empty where the label share was fine-tuned with and not probed."""
    if figure is None:
        return ("",) * len(_FIGURES)
    return (
        f"{figure.map:.3f}",
        _shown(figure.map_interval),
        f"{figure.f1_macro:.3f}",
        _shown(figure.f1_interval),
        f"{figure.f1_micro:.3f}",
        f"{figure.subset_accuracy:.3f}",
    )


def _shown(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
