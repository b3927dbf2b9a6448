"""Which samples are encoded for sequence probes, and how often."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from pipeline.errors import DataError
from pipeline.evaluate.sequence_config import SequenceConfig
from pipeline.evaluate.step_features import StepFeatures, step_features, training_samples
from pipeline.evaluate.step_table import LabelledSteps
from pipeline.types import Batch
from tests.pipeline.evaluate.planted_steps import STRIDE, features, labels, task


def learned_from(found: StepFeatures, **changes: object) -> np.ndarray:
    config = SequenceConfig.model_validate({"targets": ["phase"], **changes})
    return training_samples(found.read, task(), stride=STRIDE, config=config, seed=0)


def test_every_sample_is_encoded_once_whatever_the_percentages() -> None:
    encoded = Counter[int]()
    planted = features(labels(), noise=0.1)

    def encode(batch: Batch) -> Tensor:
        encoded.update(batch.idx.tolist())
        return planted.encode(batch)

    train = learned_from(planted, percents=[10, 25, 100])
    found = [s for batch in step_features(replace(planted, encode=encode), task(), train) for s in batch]

    assert encoded == Counter(range(48))
    assert [steps.idx for steps in found] == [*range(16, 48), *range(5), *range(6, 16)], "5 has no known step"


def test_training_samples_are_as_many_as_the_largest_share_needs() -> None:
    planted = features(labels(), noise=0.1)
    few = learned_from(planted, max_positions=13)

    assert len(few) == 3
    assert set(few) == set(task().drawn(100, seed=0)[:3])
    assert set(learned_from(planted, max_positions=13, percents=[100, 25])) > set(few)
    with pytest.raises(DataError, match="too few steps"):
        learned_from(features(torch.full((48, 24), -1), noise=0.1))


def test_positions_end_with_the_last_known_step() -> None:
    steps = labels()
    steps[20] = torch.tensor([-1, 0, 1, -1, 2, -1] + [-1] * 18)
    planted = features(steps, noise=0.1)

    (found, *_) = next(step_features(planted, task(), np.array([20])))

    assert isinstance(found, LabelledSteps)
    assert found.classes.tolist() == [-1, 0, 1, -1, 2]
    expected = planted.encode(planted.read(np.array([20])))[0, :2].numpy()
    assert np.array_equal(found.values, expected)
