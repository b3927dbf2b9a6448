"""Rows of the evaluation table: one figure of learned features beside the same of the controls."""

import re
from collections.abc import Mapping
from dataclasses import dataclass

SOURCES = ("probe", "random_init", "features", "mini_rocket")
"""In column order; the first is the learned features."""
_RATE = r"(?P<rate>[0-9.e-]+)"
_STREAMS = rf"(?P<source>{'|'.join(SOURCES)})/(?P<streams>[^/]+)"
_TITLES: tuple[tuple[str, str], ...] = (
    (rf"retrieval/{_STREAMS}/recall_at_(?P<k>\d+)", "Retrieval R@{k}"),
    (rf"retrieval/{_STREAMS}/map", "Retrieval mAP"),
    (rf"retrieval/{_STREAMS}/minp", "Retrieval mINP"),
    (rf"retrieval_re_ranked/{_STREAMS}/map", "Retrieval mAP, re-ranked"),
    (rf"retrieval_re_ranked/{_STREAMS}/minp", "Retrieval mINP, re-ranked"),
    (rf"cross_modal/{_STREAMS}/recall_at_(?P<k>\d+)", "Cross-modal R@{k}"),
    (rf"cross_modal/{_STREAMS}/map", "Cross-modal mAP"),
    (rf"verification/{_STREAMS}/auroc", "Verification AUROC"),
    (rf"verification/{_STREAMS}/eer", "Verification EER"),
    (rf"verification/{_STREAMS}/far_{_RATE}/tar", "TAR at FAR {rate}"),
    (rf"identification/{_STREAMS}/rank_one", "Identification rank 1"),
    (rf"identification/{_STREAMS}/fpir_{_RATE}/tpir", "TPIR at FPIR {rate}"),
    (rf"few_shot/{_STREAMS}/(?P<shots>\d+)_shot/inductive", "{shots}-shot"),
    (rf"few_shot/{_STREAMS}/(?P<shots>\d+)_shot/transductive", "{shots}-shot, transductive"),
    (rf"few_shot/{_STREAMS}/(?P<shots>\d+)_shot/generalised/harmonic", "{shots}-shot, generalised"),
    (rf"clustering/{_STREAMS}/ami", "Clusters, AMI"),
    (rf"representation/{_STREAMS}/effective_rank", "Effective rank"),
    (rf"representation/{_STREAMS}/cka", "CKA"),
)


@dataclass(frozen=True)
class Figure:
    """A value and its 95 % interval, where it has one."""

    value: float
    low: float | None
    high: float | None


@dataclass(frozen=True)
class EvaluationRow:
    """figures: source -> figure, where it was measured."""

    title: str
    streams: str
    figures: Mapping[str, Figure]


def evaluation_rows(metrics: Mapping[str, float]) -> list[EvaluationRow]:
    """The figures that a table shows, in its order, by flat names without `evaluate/`."""
    found: dict[tuple[int, str, str], dict[str, Figure]] = {}
    for name in metrics:
        for order, (pattern, title) in enumerate(_TITLES):
            match = re.fullmatch(pattern, name)
            if match:
                parts = match.groupdict()
                figure = Figure(metrics[name], metrics.get(f"{name}_low"), metrics.get(f"{name}_high"))
                found.setdefault((order, title.format(**parts), parts["streams"]), {})[parts["source"]] = figure
    by_figure = sorted(found, key=lambda key: key[0])  # stable: ranks and rates stay in the recipe's order
    return [EvaluationRow(title, streams, found[order, title, streams]) for order, title, streams in by_figure]
