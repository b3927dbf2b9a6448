"""Sequence probes: how well a linear map of single positions of a frozen encoder's sequence names the class of a step.

Protocol, the same for learned features and every control:
1. A position stands for `stride` consecutive steps. It learns the class that most of its labelled steps have, the lower
   class number of two; positions without any labelled step are not learned from.
2. Training samples are drawn by seed and percentage alone, whole, so every source learns from the same positions.
   Columns are standardised by them, and C is chosen by folds of them that hold out whole groups, as in `probe.py`.
3. Every test sample is scored at the rate of its labels: each step has the class of its position. So encoders of
   different stride are comparable, and a coarse one pays for it. Steps in gaps of the signal count like others.

Axes: D features, N positions of all training samples.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray

from modalities.draws import derive_seed
from pipeline.evaluate.fitted_fusion import Standardisation
from pipeline.evaluate.group_intervals import Interval, group_interval
from pipeline.evaluate.labelled import Labelled
from pipeline.evaluate.linear_probe import fit_linear
from pipeline.evaluate.position_classes import position_classes
from pipeline.evaluate.probe_config import ProbeConfig
from pipeline.evaluate.segment_scores import SequenceScorer, SequenceScores
from pipeline.evaluate.sequence_config import SequenceConfig
from pipeline.evaluate.sequence_task import Rows, SequenceTask, leading_samples
from pipeline.evaluate.step_table import StepTable

Predict: TypeAlias = Callable[[NDArray[np.float32]], Rows]


@dataclass(frozen=True)
class SequenceRow:
    """Results of a linear probe on the sequences of one stream at one percentage of labelled samples.

    interval: 95 % of the frame accuracy, over test groups; None where there is only one. num_samples, num_positions:
    that it learned from. validated: whether held-out groups chose C.
    """

    target: str
    source: str
    stream: str
    percent: float
    num_samples: int
    num_positions: int
    scores: SequenceScores
    interval: Interval | None
    chosen: float
    validated: bool

    def metrics(self) -> dict[str, float]:
        """Flat metrics by full name, sequence/<target>/<source>/<stream>/<percent>/..."""
        found = {"accuracy": self.scores.accuracy, "f1_macro": self.scores.f1_macro, "edit": self.scores.edit}
        found |= {f"f1_at_{percent}": value for percent, value in self.scores.f1_at.items()}
        if self.interval is not None:
            found |= {"accuracy_low": self.interval[0], "accuracy_high": self.interval[1]}
        prefix = f"sequence/{self.target}/{self.source}/{self.stream}/{self.percent:g}"
        return {f"{prefix}/{name}": value for name, value in found.items()}


@dataclass(frozen=True)
class _Positions:
    """Labelled positions of training samples. of: (N,) their sample; counts: sample -> its number of them."""

    labelled: Labelled
    of: Rows
    counts: Mapping[int, int]


@dataclass(frozen=True)
class _Fit:
    """A probe of one percentage, and how much it learned from."""

    predict: Predict
    num_samples: int
    num_positions: int
    chosen: float
    validated: bool


def sequence_probe(
    table: StepTable,
    task: SequenceTask,
    *,
    source: str,
    stream: str,
    config: SequenceConfig,
    probe: ProbeConfig,
    seed: int,
) -> list[SequenceRow]:
    """One row per percentage. Raises DataError where training or test split has nothing to learn from or score."""
    positions = _positions(table, task)
    fits = []
    for percent in config.percents:
        order = task.drawn(percent, seed=seed).tolist()
        counted = ((sample, positions.counts.get(sample, 0)) for sample in order)
        fits.append(_fit(positions, leading_samples(counted, most=config.max_positions), task, probe))
    scorers, groups = _scored(table, task, [fit.predict for fit in fits])
    return [
        SequenceRow(
            task.name,
            source,
            stream,
            percent,
            num_samples=fit.num_samples,
            num_positions=fit.num_positions,
            scores=scorer.scores(),
            interval=group_interval(
                scorer.right, groups, weights=scorer.steps, rng=np.random.default_rng(derive_seed(seed, "interval"))
            ),
            chosen=fit.chosen,
            validated=fit.validated,
        )
        for percent, fit, scorer in zip(config.percents, fits, scorers, strict=True)
    ]


def _positions(table: StepTable, task: SequenceTask) -> _Positions:
    x, y, counts = list[NDArray[np.float32]](), list[Rows](), dict[int, int]()
    for batch in table.batches(task.train):
        for steps in batch:
            classes = position_classes(torch.from_numpy(steps.classes)[None], table.stride)[0].numpy()
            known = classes >= 0
            x.append(steps.values[known])
            y.append(classes[known])
            counts[steps.idx] = int(known.sum())
    if not counts:
        raise task.unlabelled()
    of = np.repeat([*counts], [*counts.values()])
    return _Positions(Labelled(np.concatenate(x), np.concatenate(y), task.groups[of], task.num_classes), of, counts)


def _fit(positions: _Positions, samples: Rows, task: SequenceTask, config: ProbeConfig) -> _Fit:
    """Of the positions of some samples."""
    own = positions.labelled.select(np.flatnonzero(np.isin(positions.of, samples)))
    if len(np.unique(own.y)) < 2:
        raise task.unlabelled()
    scaled = Standardisation.of(own.x)
    model = fit_linear(Labelled(scaled(own.x), own.y, own.groups, own.num_classes), config)
    validated = model.held_out is not None
    return _Fit(lambda x: model.predict(scaled(x)), len(samples), len(own), model.inverse_strength, validated)


def _scored(
    table: StepTable, task: SequenceTask, probes: Sequence[Predict]
) -> tuple[list[SequenceScorer], NDArray[np.str_]]:
    """The scores of every probe on each test sample that has a known step, and the samples' groups."""
    scorers, groups = [SequenceScorer(task.num_classes) for _ in probes], list[str]()
    for batch in table.batches(task.test):
        values = np.concatenate([steps.values for steps in batch])
        ends = np.cumsum([len(steps.values) for steps in batch])[:-1]
        for scorer, predict in zip(scorers, probes, strict=True):
            for steps, found in zip(batch, np.split(predict(values), ends), strict=True):
                scorer.add(found.repeat(table.stride)[: len(steps.classes)], steps.classes)
        groups += [task.groups[steps.idx] for steps in batch]
    if not groups:
        raise task.unlabelled()
    return scorers, np.array(groups, np.str_)
