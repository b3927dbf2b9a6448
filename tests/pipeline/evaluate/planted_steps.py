"""Samples whose positions show the class of their steps as clearly as a test asks for."""

import numpy as np
import torch
from torch import Tensor

from modalities.spec import Signal
from pipeline.evaluate.position_classes import position_classes
from pipeline.evaluate.sequence_task import SequenceTask
from pipeline.evaluate.step_features import StepFeatures
from pipeline.types import Batch

SAMPLES, STEPS, CLASSES, STRIDE = 48, 24, 3, 4


def labels(seed: int = 0) -> Tensor:
    """(N, T) runs of random classes whose borders lie between positions; some steps are unknown, one sample all."""
    generator = torch.Generator().manual_seed(seed)
    runs = torch.randint(CLASSES, (SAMPLES, STEPS // STRIDE), generator=generator).repeat_interleave(STRIDE, dim=1)
    runs[torch.rand(runs.shape, generator=generator) < 0.1] = -1
    runs[5] = -1
    return runs


def features(steps: Tensor, *, noise: float, informative: bool = True) -> StepFeatures:
    """Positions that show their class in one of four columns."""
    generator = torch.Generator().manual_seed(1)
    classes = position_classes(steps, STRIDE)
    shown = torch.nn.functional.one_hot(classes.clamp(min=0), CLASSES).float() * informative
    values = torch.cat([shown, torch.zeros(*classes.shape, 1)], dim=2)
    values = values + noise * torch.randn(values.shape, generator=generator)

    def read(idx: np.ndarray) -> Batch:
        rows = torch.from_numpy(idx)
        signal = Signal(torch.zeros(len(idx), 1, STEPS), None, torch.ones(len(idx), dtype=torch.bool))
        return Batch(rows, {"imu": signal}, {}, step_labels={"phase": steps[rows]})

    return StepFeatures(read, lambda batch: values[batch.idx], STRIDE)


def task(test: int = 16) -> SequenceTask:
    groups = np.array([f"s{number % 6}" for number in range(SAMPLES)])
    return SequenceTask("phase", CLASSES, groups, np.arange(test, SAMPLES), np.arange(test))
