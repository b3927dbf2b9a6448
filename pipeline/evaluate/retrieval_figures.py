"""Retrieval of stored features as flat figures: of the label across sessions, and of a sample across streams."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modalities.draws import derive_seed
from pipeline.evaluate.evaluate_config import EvaluateConfig
from pipeline.evaluate.evaluation_task import Codes, EvaluationTask, Matrix
from pipeline.evaluate.features import Features
from pipeline.evaluate.group_intervals import group_interval
from pipeline.evaluate.re_ranking import ReRanked, ReRanking
from pipeline.evaluate.representation import modality_gap, pair_alignment
from pipeline.evaluate.retrieval import Retrieval, retrieve
from pipeline.evaluate.retrieval_task import across_streams, of_label
from pipeline.evaluate.similarity import Cosine, Similarity

Figures = dict[str, float]


def label_retrieval(
    x: Matrix, rows: Codes, task: EvaluationTask, config: EvaluateConfig, *, seed: int, re_ranked: bool = False
) -> Figures:
    """Of `of_label`."""
    asked = of_label(x, rows, task)
    similarity: Similarity = Cosine(x, x)
    if re_ranked and config.re_ranking is not None:
        similarity = ReRanked(x, x, ReRanking(**config.re_ranking.model_dump()))
    return _figures(retrieve(similarity, asked.relevance), config.recall_at, task.groups[rows], seed=seed)


def cross_modal(
    features: Features, pair: tuple[str, str], task: EvaluationTask, config: EvaluateConfig, *, seed: int
) -> Figures:
    """Of `across_streams`, with `alignment` and `gap` of the test samples in that space."""
    asked = across_streams(features, pair, task)
    a, b = asked.queries, asked.gallery
    found = _figures(retrieve(Cosine(a, b), asked.relevance), config.recall_at, task.groups[asked.rows], seed=seed)
    return {**found, "alignment": pair_alignment(a, b), "gap": modality_gap(a, b)}


def _figures(found: Retrieval, recall_at: Sequence[int], groups: NDArray[np.str_], *, seed: int) -> Figures:
    """Means over the queries that have a match, with 95 % intervals over their groups."""
    counted = found.counted
    values = {f"recall_at_{k}": (found.first_rank[counted] <= k).astype(np.float64) for k in recall_at}
    values |= {"map": found.average_precision[counted], "minp": found.inverse_penalty[counted]}
    figures: Figures = {"queries": int(counted.sum()), "without_match": int((~counted).sum())}
    for name, each in values.items():
        figures[name] = float(each.mean())
        interval = group_interval(each, groups[counted], rng=np.random.default_rng(derive_seed(seed, "interval")))
        if interval is not None:
            figures |= {f"{name}_low": interval[0], f"{name}_high": interval[1]}
    return figures
