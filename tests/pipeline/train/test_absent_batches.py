"""A stream that nobody of a whole batch has: no NaN, no gradient for its branch, and the batch is counted."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from pipeline.train.fit import Fit
from pipeline.train.loop import run_fit
from pipeline.types import Batch
from tests.pipeline.train.test_loop import CONFIG, make_fit

MISSING = {1, 4, 7, 8, 12}
"""Steps of which no sample has the stream b."""


class _Read:
    """Reads the batches of a run without the stream b at some steps."""

    def __init__(self, fit: Fit) -> None:
        self.read, steps = fit.read, range(CONFIG.epochs * fit.order.steps_per_epoch)
        batches = [fit.order.batch(*divmod(step, fit.order.steps_per_epoch)) for step in steps]
        self.hidden = {tuple(part) for step in MISSING for part in np.split(batches[step], CONFIG.micro_batches)}

    def __call__(self, indices: np.ndarray) -> Batch:
        batch = self.read(indices)
        if tuple(indices) in self.hidden:
            batch.signals["b"].values[:], batch.signals["b"].present[:] = 0.0, False
            batch.content["b"][:] = -1 - batch.idx
        return batch


def _fit(folder: Path) -> Fit:
    fit = make_fit(folder)
    return replace(fit, read=_Read(fit))


@pytest.mark.fault("N14")
def test_such_batches_are_counted_and_leave_the_branch_alone(tmp_path: Path) -> None:
    fit = _fit(tmp_path)
    largest: dict[int, float] = {}
    now = [0]
    module = fit.task.module
    branch = [*module.encoders["b"].parameters()]  # type: ignore[union-attr]
    for weight in branch:
        weight.register_hook(lambda g: largest.__setitem__(now[0], max(largest.get(now[0], 0.0), float(g.abs().max()))))

    run_fit(replace(fit, before_step=lambda step: now.__setitem__(0, step)))

    assert {step for step, size in largest.items() if size > 0} == set(range(15)) - MISSING
    points = fit.run.points  # type: ignore[attr-defined]
    assert points[-1][1]["counts/absent_batches/b"] == len(MISSING)
    assert [step for step, values in points if "counts/absent_batches/b" not in values] == [1]
    assert all(np.isfinite(value) for _, values in points for value in values.values())
    assert not any("absent_batches/a" in name for _, values in points for name in values)


@pytest.mark.fault("N14")
def test_the_count_survives_a_resume(tmp_path: Path) -> None:
    def die(step: int, total: int, metrics: dict[str, float]) -> None:
        if step == 6:
            raise KeyboardInterrupt

    undisturbed = run_fit(_fit(tmp_path / "whole"))
    with pytest.raises(KeyboardInterrupt):
        run_fit(replace(_fit(tmp_path / "killed"), on_step=die))
    resumed = _fit(tmp_path / "killed")

    assert run_fit(resumed).state_hash == undisturbed.state_hash
    assert resumed.run.points[-1][1]["counts/absent_batches/b"] == len(MISSING)  # type: ignore[attr-defined]
