"""The multi-label probes on the console: figures of the learned features beside the mAP of the controls."""

from collections.abc import Sequence

from jobs._console import Cells, Console
from pipeline.evaluate.group_intervals import Interval
from pipeline.evaluate.multi_label_lines import MultiLabelLine
from pipeline.evaluate.results import TITLES, shown_sources
from pipeline.evaluate.target_metrics import TARGET_SOURCES


def show_multi_label(console: Console, lines: Sequence[MultiLabelLine], *, title: str) -> None:
    """Print the table."""
    own, *controls = shown_sources(TARGET_SOURCES, (line.figures for line in lines))
    figures = ("Kindred", "95 % interval", "F1 macro", "95 % interval", "F1 micro", "whole sets")
    header = ("target", "streams", "labels", *figures, *(TITLES[source] for source in controls))
    console.table([header, *(_cells(line, own, controls) for line in lines)], title=title)


def _cells(line: MultiLabelLine, own: str, controls: Sequence[str]) -> Cells:
    figure = line.figures[own]
    others = (f"{line.figures[source].map:.3f}" if source in line.figures else "" for source in controls)
    shown = (
        f"{figure.map:.3f}",
        _shown(figure.map_interval),
        f"{figure.f1_macro:.3f}",
        _shown(figure.f1_interval),
        f"{figure.f1_micro:.3f}",
        f"{figure.subset_accuracy:.3f}",
    )
    return line.target, line.streams, f"{line.percent:g} %", *shown, *others


def _shown(interval: Interval | None) -> str:
    return "" if interval is None else f"{interval[0]:.3f} to {interval[1]:.3f}"
