import numpy as np
import pytest
import torch

from pipeline.errors import DataError
from pipeline.evaluate.position_classes import position_classes
from pipeline.evaluate.sequence_task import SequenceTask, leading_samples
from tests.pipeline.evaluate.planted_steps import task


def test_majority_of_known_steps_and_the_lower_class_of_two() -> None:
    steps = torch.tensor([[1, 0, 0, 1, 2, -1, -1, -1, -1, -1], [-1] * 8 + [2, -1]])

    assert position_classes(steps, 4).tolist() == [[0, 2, -1], [-1, -1, 2]]
    assert position_classes(steps, 1).tolist() == steps.tolist()


def test_draws_are_of_training_samples_and_the_same_each_time() -> None:
    few, every = (task().drawn(percent, seed=0) for percent in (25, 100))

    assert (len(few), sorted(every)) == (8, [*range(16, 48)])
    assert every.tolist() == task().drawn(100, seed=0).tolist() != sorted(every)
    with pytest.raises(DataError, match="too few steps with a class of phase"):
        SequenceTask("phase", 3, np.array(["a"]), np.array([], int), np.array([0])).drawn(100, seed=0)


def test_samples_are_asked_for_until_there_are_enough_positions() -> None:
    asked = []

    def counts():
        for sample in range(10):
            asked.append(sample)
            yield sample, sample

    assert leading_samples(counts(), most=6).tolist() == [1, 2, 3]
    assert asked == [0, 1, 2, 3]
