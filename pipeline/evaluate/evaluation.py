"""Every metric of stored features on the test split, by flat names, with the reasons for those that are left out.

Names are `<group>/<source>/<streams>/<figure>`; the source is `probe` for learned features, else a control's.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import ParamSpec

from pipeline.errors import NotMeasurable
from pipeline.evaluate.clustering import cluster
from pipeline.evaluate.controls import Subset, subset_name
from pipeline.evaluate.evaluate_config import EvaluateConfig
from pipeline.evaluate.evaluation_task import Codes, EvaluationTask, Matrix
from pipeline.evaluate.features import Features
from pipeline.evaluate.few_shot_figures import generalised, standard
from pipeline.evaluate.identity_figures import (
    accepted,
    accuracy_of_folds,
    identified,
    pairs_of_samples,
    searched,
    searches_of_samples,
    verified,
)
from pipeline.evaluate.representation import centred_rank, cka, class_alignment, some_rows, spread
from pipeline.evaluate.retrieval_figures import cross_modal, label_retrieval

_NO_LABEL = "no sample has a label: there are no classes to retrieve, to cluster or to learn from few samples"
Figures = dict[str, float]
P = ParamSpec("P")


@dataclass
class Evaluation:
    """metrics: by flat name. refused: name -> why these samples cannot give what is below it."""

    metrics: Figures = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)

    def measure(self, name: str, figures: Callable[P, Figures], *args: P.args, **kwargs: P.kwargs) -> None:
        """Add what `figures` returns, below a name, or the reason of its NotMeasurable."""
        with self.refusing(name):
            self.metrics |= {f"{name}/{figure}": float(value) for figure, value in figures(*args, **kwargs).items()}

    @contextlib.contextmanager
    def refusing(self, name: str) -> Iterator[None]:
        """Record the reason of a NotMeasurable below a name."""
        try:
            yield
        except NotMeasurable as error:
            given = f" ({error.got} where {error.expected} are needed)" if error.expected is not None else ""
            self.refused[name] = f"{error.message}{given}"


@dataclass(frozen=True)
class Evaluator:
    """The same task and settings for every table of features."""

    task: EvaluationTask
    subsets: Sequence[Subset]
    config: EvaluateConfig
    seed: int

    def evaluate(self, tables: Mapping[str, Features]) -> Evaluation:
        """Every metric of every table, by source. Raises DataError for features that are not finite."""
        found = Evaluation()
        for source, features in tables.items():
            rows, fused = self._rows(features, list(features.values))
            self._identity(f"{source}/fused", fused, rows, found)
            if (self.task.labels >= 0).any():
                for subset in self.subsets:
                    self._subset(f"{source}/{subset_name(subset, list(features.values))}", features, subset, found)
                self._few_shot(f"{source}/fused", fused, rows, found)
            else:
                found.refused[f"classes/{source}/fused"] = _NO_LABEL
            for first, second in permutations(features.values, 2):
                name = f"cross_modal/{source}/{first}-{second}"
                found.measure(name, cross_modal, features, (first, second), self.task, self.config, seed=self.seed)
            for first, second in combinations(features.values, 2):
                name = f"representation/{source}/{first}-{second}"
                found.measure(name, self._alike, (features, first), (features, second))
        if {"probe", "random_init"} <= tables.keys():
            for name in tables["probe"].values:
                before, after = ((tables[source], name) for source in ("random_init", "probe"))
                found.measure(f"representation/probe/{name}-untrained", self._alike, before, after)
        return found

    def _rows(self, features: Features, subset: Sequence[str]) -> tuple[Codes, Matrix]:
        """Test rows that have any of the streams, and the features (N, D) of every sample."""
        return self.task.having(features, subset), self.task.matrix(features, subset)

    def _subset(self, name: str, features: Features, subset: Subset, found: Evaluation) -> None:
        rows, matrix = self._rows(features, subset)
        rows = rows[self.task.labels[rows] >= 0]
        x, y = matrix[rows], self.task.labels[rows]
        found.measure(f"retrieval/{name}", label_retrieval, x, rows, self.task, self.config, seed=self.seed)
        if self.config.re_ranking is not None:
            re_ranked = f"retrieval_re_ranked/{name}"
            found.measure(re_ranked, label_retrieval, x, rows, self.task, self.config, seed=self.seed, re_ranked=True)
        found.measure(f"clustering/{name}", _clustering, x, y, seed=self.seed)
        found.measure(f"representation/{name}", _shape, x, y)

    def _identity(self, name: str, fused: Matrix, rows: Codes, found: Evaluation) -> None:
        x, config = fused[rows], self.config
        with found.refusing(f"verification/{name}"):
            pairs = pairs_of_samples(x, rows, self.task)
            found.measure(f"verification/{name}", verified, pairs)
            found.measure(f"verification/{name}/folds", accuracy_of_folds, pairs)
            for far in config.false_acceptance_rates:
                found.measure(f"verification/{name}/far_{far:g}", accepted, pairs, far)
        with found.refusing(f"identification/{name}"):
            searches = searches_of_samples(x, rows, self.task, seed=self.seed)
            found.measure(f"identification/{name}", searched, searches)
            for fpir in config.false_identification_rates:
                found.measure(f"identification/{name}/fpir_{fpir:g}", identified, searches, fpir)

    def _few_shot(self, name: str, fused: Matrix, rows: Codes, found: Evaluation) -> None:
        rows, config = rows[self.task.labels[rows] >= 0], self.config.few_shot
        for shots in config.shots:
            below = f"few_shot/{name}/{shots}_shot"
            found.measure(below, standard, fused, rows, self.task, config, shots=shots, seed=self.seed)
            found.measure(
                f"{below}/generalised", generalised, fused, rows, self.task, config, shots=shots, seed=self.seed
            )

    def _alike(self, first: tuple[Features, str], second: tuple[Features, str]) -> Figures:
        """CKA of two streams over the test samples that have both, as the encoders gave them."""
        both = first[0].present[first[1]] & second[0].present[second[1]]
        rows = self.task.test[both[self.task.test]]
        rows = rows[some_rows(len(rows))]
        return {"cka": cka(first[0].values[first[1]][rows], second[0].values[second[1]][rows])}


def _clustering(x: Matrix, y: Codes, *, seed: int) -> Figures:
    return dataclasses.asdict(cluster(x, y, seed=seed))


def _shape(x: Matrix, y: Codes) -> Figures:
    rows = some_rows(len(y))
    x, y = x[rows], y[rows]
    return {"alignment": class_alignment(x, y), "uniformity": spread(x), "effective_rank": centred_rank(x)}
