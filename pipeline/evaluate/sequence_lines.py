"""Lines of the sequence table: what was read from learned sequence features beside the same of the controls."""

from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.evaluate.results import TITLES
from pipeline.evaluate.target_metrics import Line, by_target, interval_of

SEQUENCE_SOURCES = {"probe": "Kindred", "random_init": TITLES["random_init"], "raw": "Raw steps"}
"""Source -> column title, in order; the first is the learned features."""
SEQUENCE_SCORES = ("accuracy", "f1_macro", "edit", "f1_at_10", "f1_at_25", "f1_at_50")
"""Scores of `SequenceRow.metrics`, in table order."""
SCORE_TITLES = dict(
    zip(SEQUENCE_SCORES, ("frame accuracy", "macro F1", "edit", "F1@10", "F1@25", "F1@50"), strict=True)
)


@dataclass(frozen=True)
class SequenceLine:
    """figures: score -> source -> share in [0, 1]. interval: 95 % of the learned features' frame accuracy."""

    target: str
    stream: str
    percent: float
    figures: Mapping[str, Mapping[str, float]]
    interval: tuple[float, float] | None


def sequence_lines(metrics: Mapping[str, float]) -> list[SequenceLine]:
    """From the flat names of `SequenceRow.metrics`."""
    return [_line(line, sources) for line, sources in by_target("sequence", metrics).items()]


def _line(line: Line, sources: Mapping[str, Mapping[str, float]]) -> SequenceLine:
    figures = {score: {source: values[score] for source, values in sources.items()} for score in SEQUENCE_SCORES}
    return SequenceLine(*line, figures, interval_of(sources["probe"], "accuracy"))
