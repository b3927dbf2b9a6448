"""Precision and numerics: what a run was computed with is recorded, and a change of it is said."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from pipeline.config import build_config
from pipeline.errors import Problems
from pipeline.train.fit_config import FitConfig
from pipeline.train.loop import Fit, run_fit
from tests.pipeline.train.test_loop import CONFIG, make_fit

BFLOAT16 = CONFIG.model_copy(update={"precision": "bfloat16"})


def _die(step: int, total: int, metrics: dict[str, float]) -> None:
    if step == 5:
        raise KeyboardInterrupt


def _killed(fit: Fit) -> None:
    with pytest.raises(KeyboardInterrupt):
        run_fit(replace(fit, on_step=_die))


@pytest.mark.fault("N03")
def test_a_precision_that_needs_a_loss_scaler_is_refused() -> None:
    with pytest.raises(Problems) as caught:
        build_config(FitConfig, {"precision": "float16"})

    assert caught.value.exit_code == 64
    assert caught.value.problems[0].field == "precision"
    assert "'float32' or 'bfloat16'" in str(caught.value)


@pytest.mark.fault("N03")
def test_bfloat16_resumes_with_the_same_bits(tmp_path: Path) -> None:
    undisturbed = run_fit(make_fit(tmp_path / "whole", config=BFLOAT16)).state_hash
    _killed(make_fit(tmp_path / "killed", config=BFLOAT16))

    assert run_fit(make_fit(tmp_path / "killed", config=BFLOAT16)).state_hash == undisturbed


@pytest.mark.fault("N13")
def test_other_numerics_are_recorded_and_withdraw_the_promise_of_bits(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    torch.set_num_threads(1)
    _killed(make_fit(tmp_path))
    torch.set_num_threads(2)
    try:
        result = run_fit(make_fit(tmp_path))
    finally:
        torch.set_num_threads(1)
    again = run_fit(make_fit(tmp_path))

    warnings = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert len(warnings) == 1, "the second resume is on numerics that the run has had"
    assert "step-00000004" in warnings[0]
    assert "threads: 1 -> 2" in warnings[0]
    assert (result.bitwise, again.bitwise) == (False, False)
    newest = make_fit(tmp_path).store.newest()
    assert newest is not None
    kernels = torch.backends.cpu.get_cpu_capability()
    same = {"device": "cpu", "kernels": kernels, "torch": torch.__version__}
    assert newest.state["numerics"] == [{**same, "threads": 1}, {**same, "threads": 2}]


@pytest.mark.fault("N13")
@pytest.mark.parametrize(("reduce", "bitwise"), [("exact", True), ("fast", False)])
def test_an_undisturbed_run_says_whether_its_bits_repeat(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, reduce: str, bitwise: bool
) -> None:
    config = CONFIG.model_copy(update={"reduce": reduce})
    _killed(make_fit(tmp_path, config=config))

    assert run_fit(make_fit(tmp_path, config=config)).bitwise == bitwise
    assert [record for record in caplog.records if record.levelname == "WARNING"] == []
