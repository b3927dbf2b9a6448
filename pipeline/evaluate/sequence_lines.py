"""Lines of the sequence table: what was read from learned sequence features beside the same of the controls."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from pipeline.evaluate.results import TITLES

SEQUENCE_SOURCES = {"probe": "Kindred", "random_init": TITLES["random_init"], "raw": "Raw steps"}
"""Source -> column title, in order; the first is the learned features."""
SEQUENCE_SCORES = ("accuracy", "f1_macro", "edit", "f1_at_10", "f1_at_25", "f1_at_50")
"""Scores of `SequenceRow.metrics`, in table order."""
SCORE_TITLES = dict(
    zip(SEQUENCE_SCORES, ("frame accuracy", "macro F1", "edit", "F1@10", "F1@25", "F1@50"), strict=True)
)
_NAME = re.compile(
    r"(?P<prefix>sequence/(?P<target>[^/]+)/(?P<source>[^/]+)/(?P<stream>[^/]+)/(?P<percent>[0-9.]+)/)accuracy"
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
    """From the flat names of `SequenceRow.metrics`; few labels before many."""
    found: dict[tuple[str, str, float], dict[str, str]] = {}
    for name in metrics:
        if match := _NAME.fullmatch(name):
            key = match["target"], match["stream"], float(match["percent"])
            found.setdefault(key, {})[match["source"]] = match["prefix"]
    return [_line(key, found[key], metrics) for key in sorted(found)]


def _line(key: tuple[str, str, float], prefixes: Mapping[str, str], metrics: Mapping[str, float]) -> SequenceLine:
    figures = {
        score: {source: metrics[prefix + score] for source, prefix in prefixes.items()} for score in SEQUENCE_SCORES
    }
    own = prefixes["probe"]
    low, high = metrics.get(f"{own}accuracy_low"), metrics.get(f"{own}accuracy_high")
    return SequenceLine(*key, figures, None if low is None or high is None else (low, high))
