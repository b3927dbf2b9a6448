"""Sequence probes: how well a linear map of single positions of a frozen encoder's sequence names the class of a step.

Protocol, the same for learned features and every control:
1. A position stands for `stride` consecutive steps. It learns the class that most of its labelled steps have, the lower
   class number of two; positions without any labelled step are not learned from.
2. Training samples are drawn by seed and percentage alone, whole, so every source learns from the same positions.
   Columns are standardised by them, and C is chosen by folds of them that hold out whole groups, as in `probe.py`.
3. Every test sample is scored at the rate of its labels: each step has the class of its position. So encoders of
   different stride are comparable, and a coarse one pays for it. Steps in gaps of the signal count like others.

Axes: B samples, T steps, S positions, D features, N positions of all training samples.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from modalities.draws import derive_seed
from pipeline.errors import DataError
from pipeline.evaluate.fitted_fusion import Standardisation
from pipeline.evaluate.label_fractions import label_draws
from pipeline.evaluate.labelled import Labelled
from pipeline.evaluate.linear_probe import fit_linear
from pipeline.evaluate.position_classes import position_classes
from pipeline.evaluate.probe_config import ProbeConfig
from pipeline.evaluate.scores import group_resamples, percentile_interval
from pipeline.evaluate.segment_scores import SequenceScorer, SequenceScores
from pipeline.evaluate.sequence_config import SequenceConfig
from pipeline.types import Batch

BATCH = 256
Rows: TypeAlias = NDArray[np.int64]
Read: TypeAlias = Callable[[Rows], Batch]


@dataclass(frozen=True)
class StepFeatures:
    """What a probe reads. read: sample numbers -> batch with the step label; encode: batch -> (B, S, D) float32.

    stride: steps that each position stands for.
    """

    read: Read
    encode: Callable[[Batch], Tensor]
    stride: int


@dataclass(frozen=True)
class SequenceTask:
    """name: of the step label. groups: (N,) of every sample; train, test: samples that have the step label."""

    name: str
    num_classes: int
    groups: NDArray[np.str_]
    train: Rows
    test: Rows


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
    interval: tuple[float, float] | None
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


def sequence_probe(
    features: StepFeatures,
    task: SequenceTask,
    *,
    source: str,
    stream: str,
    config: SequenceConfig,
    probe: ProbeConfig,
    seed: int,
) -> list[SequenceRow]:
    """One row per percentage. Raises DataError where training or test split has nothing to learn from or score."""
    rows = []
    for percent in config.percents:
        samples = _drawn(task, percent, seed=seed)
        labelled, used = _positions(features, task, samples, most=config.max_positions)
        scaled = Standardisation.of(labelled.x)
        model = fit_linear(Labelled(scaled(labelled.x), labelled.y, labelled.groups, task.num_classes), probe)
        scorer, groups = _scored(features, task, lambda x, s=scaled, m=model: m.predict(s(x)))
        rows.append(
            SequenceRow(
                task.name,
                source,
                stream,
                percent,
                num_samples=used,
                num_positions=len(labelled),
                scores=scorer.scores(),
                interval=_interval(scorer, groups, seed=seed),
                chosen=model.inverse_strength,
                validated=model.held_out is not None,
            )
        )
    return rows


def _drawn(task: SequenceTask, percent: float, *, seed: int) -> Rows:
    """Training samples in random order."""
    if not len(task.train) or not len(task.test):
        raise _unlabelled(task)
    (draw, *_) = label_draws(np.zeros(len(task.train), np.int64), percent=percent, draws=1, seed=seed)
    rng = np.random.default_rng(derive_seed(seed, "sequence", task.name))
    return rng.permutation(task.train[draw.rows])


def _batches(read: Read, samples: Rows) -> Iterator[Batch]:
    for start in range(0, len(samples), BATCH):
        yield read(samples[start : start + BATCH])


def _encoded(features: StepFeatures, batches: Iterable[Batch]) -> Iterator[tuple[Batch, Tensor]]:
    with torch.inference_mode():
        for batch in batches:
            yield batch, features.encode(batch).float().cpu()


def _positions(features: StepFeatures, task: SequenceTask, samples: Rows, *, most: int) -> tuple[Labelled, int]:
    """Labelled positions of whole samples, until there are `most`, and of how many samples they are."""
    x: list[NDArray[np.float32]] = []
    y: list[Rows] = []
    of: list[int] = []
    for batch, encoded in _encoded(features, _batches(features.read, samples)):
        classes = position_classes(batch.step_labels[task.name], features.stride)
        for sample, rows, own in zip(batch.idx.tolist(), encoded, classes, strict=True):
            known = own >= 0
            if not known.any() or sum(map(len, y)) >= most:
                continue
            x.append(rows[known].numpy())
            y.append(own[known].numpy())
            of.append(sample)
        if sum(map(len, y)) >= most:
            break
    if not y or len(np.unique(np.concatenate(y))) < 2:
        raise _unlabelled(task)
    groups = np.repeat(task.groups[of], [len(own) for own in y])
    return Labelled(np.concatenate(x), np.concatenate(y), groups, task.num_classes), len(of)


def _scored(
    features: StepFeatures, task: SequenceTask, predict: Callable[[NDArray[np.float32]], Rows]
) -> tuple[SequenceScorer, NDArray[np.str_]]:
    """The scores of every test sample that has a known step, and their groups."""
    scorer, groups = SequenceScorer(task.num_classes), []
    for batch, encoded in _encoded(features, _batches(features.read, task.test)):
        found = predict(encoded.flatten(0, 1).numpy()).reshape(encoded.shape[:2])
        truth = batch.step_labels[task.name].numpy()
        steps = found.repeat(features.stride, axis=1)[:, : truth.shape[1]]
        for sample, predicted, true in zip(batch.idx.tolist(), steps, truth, strict=True):
            if (true >= 0).any():
                scorer.add(predicted, true)
                groups.append(task.groups[sample])
    if not groups:
        raise _unlabelled(task)
    return scorer, np.array(groups, np.str_)


def _interval(scorer: SequenceScorer, groups: NDArray[np.str_], *, seed: int) -> tuple[float, float] | None:
    """Of the frame accuracy: whole groups are drawn with replacement."""
    found = group_resamples(groups, rng=np.random.default_rng(derive_seed(seed, "interval")))
    if found is None:
        return None
    member, times = found
    right, size = np.bincount(member, weights=scorer.right), np.bincount(member, weights=scorer.steps)
    return percentile_interval(times @ right / (times @ size))


def _unlabelled(task: SequenceTask) -> DataError:
    return DataError(
        f"too few steps with a class of {task.name}",
        code="DATA_LABEL",
        field=task.name,
        expected="two classes in the training split, and one labelled sample in the test split",
        got=f"{len(task.train)} training and {len(task.test)} test samples with step labels",
        fix="leave it out of sequence.targets, or label more",
    )
