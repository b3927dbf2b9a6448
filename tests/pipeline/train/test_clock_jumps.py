"""A wall clock that jumps in mid-run: the same bits, the newest checkpoint by its step, and no duration from it."""

import ast
import os
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.loop import run_fit
from tests.pipeline.train.test_loop import CONFIG, make_fit

ROOT = Path(__file__).parents[3]
HOUR, YEAR = 3600.0, 365 * 86400.0
RECORDED = {"pipeline/tracking.py", "jobs/_tracking.py", "jobs/submit.py", "pipeline/train/heartbeat.py"}
"""Where the wall clock may be read: times of points and runs, of a cluster's own clock, and a number for a beat."""


@pytest.mark.fault("P23")
@pytest.mark.parametrize("jump", [-HOUR, YEAR], ids=["back an hour", "forward a year"])
def test_a_jump_in_mid_run_and_across_a_resume_changes_no_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, jump: float
) -> None:
    torch.set_num_threads(1)
    undisturbed = run_fit(make_fit(tmp_path / "plain"))
    now, now_ns = time.time, time.time_ns

    def before_step(step: int) -> None:
        if step == 5:
            monkeypatch.setattr(time, "time", lambda: now() + jump)
            monkeypatch.setattr(time, "time_ns", lambda: now_ns() + int(jump * 1e9))
        if step == 9:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run_fit(replace(make_fit(tmp_path / "run"), before_step=before_step))
    older, newer = sorted((tmp_path / "run").glob("step-*"))
    os.utime(older, (now() + YEAR, now() + YEAR))
    os.utime(newer, (0, 0))

    newest = CheckpointStore(tmp_path / "run").newest()
    assert newest is not None
    assert newest.path == newer
    resumed = make_fit(tmp_path / "run")
    result = run_fit(resumed)

    assert result.state_hash == undisturbed.state_hash
    assert result.samples_per_s > 0
    rates = [values["samples_per_s"] for _, values in resumed.run.points]  # type: ignore[attr-defined]
    assert len(rates) == CONFIG.epochs * 5 - 8
    assert all(0 < rate < 1e6 for rate in rates)


@pytest.mark.fault("P23")
def test_durations_and_limits_never_come_from_the_wall_clock() -> None:
    found = set()
    for package in ("modalities", "pipeline", "jobs"):
        for path in (ROOT / package).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.Attribute) and ast.unparse(node) in {"time.time", "time.time_ns"}:
                    found.add(str(path.relative_to(ROOT)))

    assert found == RECORDED
