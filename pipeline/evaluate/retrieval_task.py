"""What retrieval asks: samples of the test split as queries and gallery, in one space, and which belong together."""

from dataclasses import dataclass

import numpy as np

from pipeline.evaluate.evaluation_task import Codes, EvaluationTask, Matrix, pair_codes
from pipeline.evaluate.features import Features
from pipeline.evaluate.retrieval import Relevance
from pipeline.evaluate.shared_space import fit_shared_space
from pipeline.evaluate.similarity import Matrix as Space


@dataclass(frozen=True)
class RetrievalTask:
    """rows: (n,) samples, each of them query and gallery item. queries, gallery: (n, D) of the same."""

    rows: Codes
    queries: Space
    gallery: Space
    relevance: Relevance


def of_label(x: Matrix, rows: Codes, task: EvaluationTask) -> RetrievalTask:
    """Every labelled sample, features (n, D) of rows (n,), asks for the others of its label.

    Junk: windows of its own recording, and what is of its session and its label, which would be found too easily; what
    is of its session and another label stays, as an answer that is alike for the wrong reason.
    """
    labels, records = task.labels[rows], task.records[rows]
    sessions = pair_codes(task.sessions[rows], labels)
    return RetrievalTask(rows, x, x, Relevance(labels, labels, ((records, records), (sessions, sessions))))


def across_streams(features: Features, pair: tuple[str, str], task: EvaluationTask) -> RetrievalTask:
    """Each test sample that has both streams asks, by the first, for itself by the second, among all that have both.

    Features before the projectors lie in no common space: canonical correlation analysis of training samples makes one,
    for a control as for learned features. Junk: what the stream cannot tell from the sample, as it is stored alike, and
    other windows of its recording. Raises NotMeasurable where too few training samples have both.
    """
    both = features.present[pair[0]] & features.present[pair[1]]
    first, second = (task.matrix(features, [name]) for name in pair)
    train, rows = task.train[both[task.train]], task.test[both[task.test]]
    space = fit_shared_space(first[train], second[train])
    codes = (task.records[rows], *(task.content[name][rows] for name in pair))
    own = np.arange(len(rows))
    relevance = Relevance(own, own, tuple((each, each) for each in codes), spares_matches=True)
    return RetrievalTask(rows, space.project_first(first[rows]), space.project_second(second[rows]), relevance)
