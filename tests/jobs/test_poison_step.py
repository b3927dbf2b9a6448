"""Two attempts that end in one step are a pattern; other steps, and a new command, are not."""

from pathlib import Path

import numpy as np
import pytest

from jobs._poison_step import StepsOfAttempts, refuse_repeated
from pipeline.data.order_config import ShuffleOrder
from pipeline.data.plan import Plan
from pipeline.errors import TrainingHealthError


def _attempt(folder: Path, last: int) -> None:
    attempt = StepsOfAttempts(folder)
    for step in range(last + 1):
        attempt.mark(step)


@pytest.mark.fault("P15")
def test_the_same_step_twice_in_a_row_names_its_samples(tmp_path: Path) -> None:
    order = Plan(np.arange(20), batch_size=4, seed=0, last="drop", order=ShuffleOrder())
    keys, attempts = np.array([f"k{n}" for n in range(20)]), StepsOfAttempts(tmp_path)
    for last in (5, 7, 3):
        _attempt(tmp_path, last)
        refuse_repeated(attempts, order, keys)
    _attempt(tmp_path, 3)

    with pytest.raises(TrainingHealthError) as caught:
        refuse_repeated(attempts, order, keys)

    assert caught.value.got == {"step": 3, "samples": keys[order.batch(0, 3)].tolist(), "of": 4}
    assert attempts.count() == 4
    attempts.forget()
    assert attempts.count() == 0
    refuse_repeated(attempts, order, keys)
