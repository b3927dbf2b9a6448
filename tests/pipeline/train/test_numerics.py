"""Precision and numerics: what a run was computed with is recorded, and a change of it is said."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import JsonValue

from pipeline.config import build_config
from pipeline.digest import canonical_json, sha256
from pipeline.errors import CheckpointError, Preempted, Problems
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.fit import Fit
from pipeline.train.fit_config import FitConfig
from pipeline.train.loop import run_fit
from pipeline.train.numerics import numerics
from tests.pipeline.train.test_loop import CONFIG, Recorded, make_fit

SAY = (
    "import json, torch; from pipeline.train.numerics import numerics; print(json.dumps(numerics(torch.device('cpu'))))"
)
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


@pytest.fixture
def stopped(tmp_path: Path) -> Path:
    """The manifest of a run that was stopped after its first step."""
    torch.set_num_threads(1)
    asked = iter([False])
    with pytest.raises(Preempted):
        run_fit(replace(make_fit(tmp_path), stop=lambda: next(asked, True)))
    (path,) = tmp_path.glob("step-*/MANIFEST.json")
    return path


def _rewrite(path: Path, change: dict[str, JsonValue]) -> None:
    body = json.loads(path.read_bytes()) | change
    body.pop("sha256")
    path.write_bytes(canonical_json({**body, "sha256": sha256(canonical_json(body))}))


@pytest.mark.fault("C14")
@pytest.mark.parametrize(("name", "other"), [("torch", "2.12.0"), ("kernels", "NEON"), ("threads", 7)])
def test_other_numerics_are_named_with_both_values(
    stopped: Path, caplog: pytest.LogCaptureFixture, name: str, other: str | int
) -> None:
    state = json.loads(stopped.read_bytes())["state"]
    _rewrite(stopped, {"state": {**state, "numerics": [{**state["numerics"][0], name: other}]}})
    fit = make_fit(stopped.parents[1])

    result = run_fit(fit)

    assert f"{name}: {other} -> {numerics(torch.device('cpu'))[name]}" in caplog.text
    assert not result.bitwise
    assert isinstance(fit.run, Recorded)
    assert fit.run.tagged == {"kindred.bitwise": "false"}


@pytest.mark.fault("C14")
def test_a_checkpoint_without_numerics_promises_nothing(stopped: Path) -> None:
    state = json.loads(stopped.read_bytes())["state"]
    del state["numerics"]
    _rewrite(stopped, {"state": state})

    assert not run_fit(make_fit(stopped.parents[1])).bitwise


@pytest.mark.fault("C14")
def test_a_checkpoint_of_another_format_is_refused_with_both(stopped: Path) -> None:
    _rewrite(stopped, {"format": 2})

    with pytest.raises(CheckpointError) as caught:
        CheckpointStore(stopped.parents[1]).read(1)

    assert (caught.value.code, caught.value.exit_code) == ("CKPT_FORMAT", 66)
    assert (caught.value.field, caught.value.expected, caught.value.got) == ("format", 1, 2)
    with pytest.raises(CheckpointError, match="CKPT_NONE_VALID"):
        run_fit(make_fit(stopped.parents[1]))


@pytest.mark.fault("C14")
def test_a_processor_without_its_vector_instructions_is_another_one() -> None:
    environment = {**os.environ, "ATEN_CPU_CAPABILITY": "default"}
    done = subprocess.run([sys.executable, "-c", SAY], env=environment, capture_output=True, text=True, check=True)

    assert json.loads(done.stdout)["kernels"] == "DEFAULT"
