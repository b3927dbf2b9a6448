"""Multi-label probes of frozen features: how well few or many labels read a set of tags from them.

The protocol is that of `probe.py`: features standardised by the training split, labelled rows drawn from it by share
and seed alone (the same ones for every feature table), C chosen with those rows only, by folds that hold out whole
groups, and one score on the test split.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from modalities.draws import derive_seed
from pipeline.errors import DataError
from pipeline.evaluate.controls import ProbeInput
from pipeline.evaluate.group_intervals import Interval, group_interval
from pipeline.evaluate.label_fractions import label_draws
from pipeline.evaluate.labelled import Features, Rows
from pipeline.evaluate.one_vs_rest import Tagged, Tags, one_vs_rest_probe
from pipeline.evaluate.probe_config import ProbeConfig
from pipeline.evaluate.tag_scores import Probabilities, TagScores, exactly_right, tag_intervals, tag_scores
from pipeline.evaluate.target_fit import TargetFit


@dataclass(frozen=True)
class MultiLabelTask:
    """name: of the target. tags: (N, K) which of the names a sample has. known: (N,) False where it is unlabelled.
    groups, train and test as in `ProbeTask`."""

    name: str
    names: tuple[str, ...]
    tags: Tags
    known: NDArray[np.bool_]
    groups: NDArray[np.str_]
    train: Rows
    test: Rows
    kind: ClassVar[Literal["multi_label"]] = "multi_label"

    def labelled(self, rows: Rows) -> Rows:
        """Those of the rows that have a label."""
        return rows[self.known[rows]]

    def labelled_test(self) -> Rows:
        """Test rows that have a label, as the probes see them."""
        return self.labelled(self.test)

    def learnable(self, rows: Rows, split: str) -> Rows:
        """Those of the rows that have a label. Raises DataError where none of them has a tag."""
        kept = self.labelled(rows)
        if not self.tags[kept].any():
            raise DataError(
                f"no sample of the {split} split has a tag of {self.name}",
                code="DATA_LABEL",
                field=self.name,
                got=f"{len(kept)} of {len(rows)} samples are labelled",
                fix="leave it out of multi_label.targets, or label more",
            )
        return kept

    def tagged(self, x: Features, rows: Rows, split: str) -> Tagged:
        """Features of `learnable` rows with their tags. Raises DataError as that does."""
        kept = self.learnable(rows, split)
        return Tagged(x[kept], self.tags[kept], self.groups[kept])


@dataclass(frozen=True)
class MultiLabelRow:
    """Results on one feature table, or of tuned encoders, at one percentage of labels; scores and chosen (C) per label
    draw.

    Intervals: 95 % over test groups; none where there is only one. validated: whether held-out groups chose C; tuned
    encoders have none. samples: (N,) share of draws in which a labelled test sample's whole set was right.
    """

    target: str
    source: str
    subset: str
    percent: float
    num_labels: int
    scores: tuple[TagScores, ...]
    intervals: dict[str, Interval]
    samples: NDArray[np.float64] = field(compare=False)
    chosen: tuple[float, ...] = ()
    validated: bool = False
    kind: ClassVar[Literal["multi_label"]] = "multi_label"

    @property
    def name(self) -> str:
        """Prefix of its metrics."""
        return f"{self.kind}/{self.target}/{self.source}/{self.subset}/{self.percent:g}"

    def metrics(self) -> dict[str, float]:
        """Flat metrics by full name."""
        found: dict[str, float] = {}
        for name in asdict(self.scores[0]):
            values = [getattr(score, name) for score in self.scores]
            found[name] = float(np.mean(values))
            if len(values) > 1:
                found[f"{name}_sd"] = float(np.std(values, ddof=1))
        for name, (low, high) in self.intervals.items():
            found |= {f"{name}_low": low, f"{name}_high": high}
        return {f"{self.name}/{name}": value for name, value in found.items()}


def multi_label_probe(
    given: ProbeInput, task: MultiLabelTask, *, config: ProbeConfig, seed: int
) -> list[MultiLabelRow]:
    """One row per percentage, for features aligned with the task."""
    train, test = task.tagged(given.x, task.train, "training"), task.tagged(given.x, task.test, "test")
    rows = []
    for percent in config.label_percents:
        draws = label_draws(np.zeros(len(train), np.int64), percent=percent, draws=config.draws, seed=seed)
        predictions = [one_vs_rest_probe(train.select(draw.rows), test.x, config) for draw in draws]
        fit = TargetFit(given.source, given.subset, percent, num_labels=len(draws[0].rows))
        row = scored_tags(fit, task, [p.probabilities for p in predictions], seed=seed)
        validated = all(p.validated for p in predictions)
        rows.append(replace(row, chosen=tuple(p.chosen for p in predictions), validated=validated))
    return rows


def scored_tags(
    fit: TargetFit, task: MultiLabelTask, predicted: Sequence[Probabilities], *, seed: int
) -> MultiLabelRow:
    """Scores of probabilities (M, K), one array per label draw, predicted for the labelled test samples of a task."""
    rows = task.labelled_test()
    tags, groups = task.tags[rows], task.groups[rows]
    correct = np.mean([exactly_right(probabilities, tags) for probabilities in predicted], axis=0)
    rng = np.random.default_rng(derive_seed(seed, "interval"))
    exact = group_interval(correct, groups, rng=rng)
    intervals = tag_intervals(predicted, tags, groups, rng=rng)
    return MultiLabelRow(
        task.name,
        fit.source,
        fit.subset,
        fit.percent,
        fit.num_labels,
        scores=tuple(tag_scores(probabilities, tags) for probabilities in predicted),
        intervals=intervals if exact is None else {**intervals, "subset_accuracy": exact},
        samples=correct,
    )
