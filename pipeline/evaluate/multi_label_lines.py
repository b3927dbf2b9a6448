"""Lines of the multi-label table: what was read from learned features beside the same of the controls."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.evaluate.group_intervals import Interval
from pipeline.evaluate.target_metrics import by_target, interval_of


@dataclass(frozen=True)
class MultiLabelFigure:
    """Mean average precision, F1 and the share of sets that are right as a whole; intervals: 95 %, where there are
    test groups enough."""

    map: float
    map_interval: Interval | None
    f1_macro: float
    f1_interval: Interval | None
    f1_micro: float
    subset_accuracy: float


@dataclass(frozen=True)
class MultiLabelLine:
    """figures: source -> figure, where it was measured; percent: share of the labels."""

    target: str
    streams: str
    percent: float
    figures: Mapping[str, MultiLabelFigure]


def multi_label_lines(metrics: Mapping[str, float]) -> list[MultiLabelLine]:
    """From the flat names of `MultiLabelRow.metrics`."""
    return [
        MultiLabelLine(*line, {source: _figure(values) for source, values in sources.items()})
        for line, sources in by_target("multi_label", metrics).items()
    ]


def _figure(values: Mapping[str, float]) -> MultiLabelFigure:
    return MultiLabelFigure(
        values["map"],
        interval_of(values, "map"),
        values["f1_macro"],
        interval_of(values, "f1_macro"),
        values["f1_micro"],
        values["subset_accuracy"],
    )
