"""Positions of encoded sequences that sequence probes learn from and are scored on, each computed once.

Axes: B samples, T steps, S positions, D features.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from torch import Tensor

from pipeline.evaluate.position_classes import position_classes
from pipeline.evaluate.sequence_config import SequenceConfig
from pipeline.evaluate.sequence_task import Rows, SequenceTask, leading_samples
from pipeline.evaluate.step_table import LabelledSteps
from pipeline.types import Batch

BATCH = 256
Read: TypeAlias = Callable[[Rows], Batch]


@dataclass(frozen=True)
class StepFeatures:
    """read: sample numbers -> batch with the step label; encode: batch -> (B, S, D) float32.

    stride: steps that each position stands for.
    """

    read: Read
    encode: Callable[[Batch], Tensor]
    stride: int


def training_samples(read: Read, task: SequenceTask, *, stride: int, config: SequenceConfig, seed: int) -> Rows:
    """Those that any percentage learns from, ascending. Raises DataError where there are none."""
    counts: dict[int, int] = {}
    found = []
    for percent in config.percents:
        drawn = _counted(read, task.name, task.drawn(percent, seed=seed), counts, stride=stride)
        found.append(leading_samples(drawn, most=config.max_positions))
    if not all(map(len, found)):
        raise task.unlabelled()
    return np.unique(np.concatenate(found))


def step_features(features: StepFeatures, task: SequenceTask, train: Rows) -> Iterator[list[LabelledSteps]]:
    """Batches of training samples and of all test samples, as far as they have a step of known class."""
    for samples in (train, task.test):
        for batch in _batches(features.read, samples):
            with torch.inference_mode():
                encoded = features.encode(batch).float().cpu()
            yield _labelled(batch.idx.tolist(), encoded, batch.step_labels[task.name], stride=features.stride)


def _counted(
    read: Read, label: str, samples: Rows, counts: dict[int, int], *, stride: int
) -> Iterator[tuple[int, int]]:
    """Labelled positions of each sample; what `counts` does not know yet is read as it is asked for, and kept there."""
    for start in range(0, len(samples), BATCH):
        asked = samples[start : start + BATCH].tolist()
        if unknown := [sample for sample in asked if sample not in counts]:
            batch = read(np.array(unknown, np.int64))
            known = position_classes(batch.step_labels[label], stride) >= 0
            counts |= zip(batch.idx.tolist(), known.sum(dim=1).tolist(), strict=True)
        yield from ((sample, counts[sample]) for sample in asked)


def _batches(read: Read, samples: Rows) -> Iterator[Batch]:
    for start in range(0, len(samples), BATCH):
        yield read(samples[start : start + BATCH])


def _labelled(samples: list[int], encoded: Tensor, classes: Tensor, *, stride: int) -> list[LabelledSteps]:
    found = list[LabelledSteps]()
    for sample, values, own in zip(samples, encoded, classes, strict=True):
        known = torch.nonzero(own >= 0)
        if len(known):
            steps = int(known[-1]) + 1
            found.append(LabelledSteps(sample, values[: -(-steps // stride)].numpy(), own[:steps].numpy()))
    return found
