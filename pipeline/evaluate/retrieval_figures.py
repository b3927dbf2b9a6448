"""Retrieval of stored features as flat figures: of the label across sessions, and of a sample across streams."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from modalities.draws import derive_seed
from pipeline.evaluate.evaluate_config import EvaluateConfig
from pipeline.evaluate.evaluation_task import Codes, EvaluationTask, Matrix, pair_codes
from pipeline.evaluate.features import Features
from pipeline.evaluate.re_ranking import ReRanked, ReRanking
from pipeline.evaluate.representation import modality_gap, pair_alignment
from pipeline.evaluate.retrieval import Relevance, Retrieval, retrieve
from pipeline.evaluate.scores import group_interval
from pipeline.evaluate.shared_space import fit_shared_space
from pipeline.evaluate.similarity import Cosine, Similarity

Figures = dict[str, float]


def label_retrieval(
    x: Matrix, rows: Codes, task: EvaluationTask, config: EvaluateConfig, *, seed: int, re_ranked: bool = False
) -> Figures:
    """Every labelled sample, features (n, D) of rows (n,), asks for the others of its label.

    Junk: windows of its own recording, and what is of its session and its label, which would be found too easily; what
    is of its session and another label stays, as an answer that is alike for the wrong reason.
    """
    labels, records = task.labels[rows], task.records[rows]
    sessions = pair_codes(task.sessions[rows], labels)
    relevance = Relevance(labels, labels, ((records, records), (sessions, sessions)))
    similarity: Similarity = Cosine(x, x)
    if re_ranked and config.re_ranking is not None:
        similarity = ReRanked(x, x, ReRanking(**config.re_ranking.model_dump()))
    return _figures(retrieve(similarity, relevance), config.recall_at, task.groups[rows], seed=seed)


def cross_modal(
    features: Features, pair: tuple[str, str], task: EvaluationTask, config: EvaluateConfig, *, seed: int
) -> Figures:
    """Each test sample that has both streams asks, by the first, for itself by the second, among all that have both.

    Features before the projectors lie in no common space: canonical correlation analysis of training samples makes one,
    for a control as for learned features. Junk: what the stream cannot tell from the sample, as it is stored alike, and
    other windows of its recording. `alignment` and `gap` are of the test samples in that space.
    """
    both = features.present[pair[0]] & features.present[pair[1]]
    first, second = (task.matrix(features, [name]) for name in pair)
    train, rows = task.train[both[task.train]], task.test[both[task.test]]
    space = fit_shared_space(first[train], second[train])
    a, b = space.project_first(first[rows]), space.project_second(second[rows])
    codes = (task.records[rows], *(task.content[name][rows] for name in pair))
    own = np.arange(len(rows))
    relevance = Relevance(own, own, tuple((each, each) for each in codes), spares_matches=True)
    found = _figures(retrieve(Cosine(a, b), relevance), config.recall_at, task.groups[rows], seed=seed)
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
