"""Lines of the multi-label table: what was read from learned features beside the same of the controls."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.evaluate.target_metrics import by_target


@dataclass(frozen=True)
class MultiLabelFigure:
    """Mean average precision, F1 and the share of sets that are right as a whole; low, high: 95 % of the macro F1."""

    map: float
    f1_macro: float
    low: float | None
    high: float | None
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
    low, high = values.get("f1_macro_low"), values.get("f1_macro_high")
    return MultiLabelFigure(values["map"], values["f1_macro"], low, high, values["f1_micro"], values["subset_accuracy"])
