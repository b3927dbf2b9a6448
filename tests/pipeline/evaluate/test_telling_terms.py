"""Terms that name the class are found from few samples, and words that know nothing of it are silent."""

import dataclasses

import numpy as np
import pytest

from pipeline.evaluate.probe import ProbeTask
from pipeline.evaluate.telling_terms import term_leaks


def made(seed: int, *, samples: int = 120) -> tuple[np.ndarray, ProbeTask]:
    """Terms (N, 200), each in a tenth of the texts, and three classes."""
    rng = np.random.default_rng(seed)
    words = (rng.random((samples, 200)) < 0.1).astype(np.float32)
    half = np.arange(samples)
    return words, ProbeTask(rng.integers(0, 3, samples), half.astype(str), half[::2], half[1::2], 3)


@pytest.mark.parametrize("seed", range(20))
def test_a_term_for_each_class_is_found_and_chance_is_not(seed: int) -> None:
    words, task = made(seed)
    assert term_leaks(words, task, stream="note") == []
    named = np.column_stack([words, np.eye(3)[task.labels] * 0.1]).astype(np.float32)

    (found,) = term_leaks(named, task, stream="note")

    assert (found.code, found.field, found.got) == ("LEAK", "note", "1.000")


def test_a_handful_of_test_samples_proves_nothing() -> None:
    words, task = made(0)
    named = np.column_stack([words, np.eye(3)[task.labels]]).astype(np.float32)
    task = dataclasses.replace(task, test=task.test[:3])

    assert term_leaks(named, task, stream="note") == []
