"""A checkpoint that another torch, processor, number of threads or release wrote: exact, refused, or said aloud."""

import json
import logging
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from pydantic import JsonValue

from pipeline.errors import CheckpointError, Preempted
from pipeline.train.checkpoint import canonical_json, sha256
from pipeline.train.checkpoint_store import CheckpointStore
from pipeline.train.loop import Fit, run_fit
from pipeline.train.numerics import numerics
from tests.pipeline.train.test_loop import Recorded, make_fit

SAY = (
    "import json, torch; from pipeline.train.numerics import numerics; print(json.dumps(numerics(torch.device('cpu'))))"
)


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


def _tags(fit: Fit) -> dict[str, str]:
    assert isinstance(fit.run, Recorded)
    return fit.run.tagged


@pytest.mark.fault("C14")
@pytest.mark.parametrize(("name", "other"), [("torch", "2.12.0"), ("processor", "NEON"), ("threads", 7)])
def test_other_numerics_are_named_with_both_values(
    stopped: Path, caplog: pytest.LogCaptureFixture, name: str, other: str | int
) -> None:
    state = json.loads(stopped.read_bytes())["state"]
    _rewrite(stopped, {"state": {**state, "numerics": {**state["numerics"], name: other}}})
    fit = make_fit(stopped.parents[1])

    with caplog.at_level(logging.WARNING):
        run_fit(fit)

    now = numerics(torch.device("cpu"))[name]
    said = f"resumed at step 1 with {name}: {other} -> {now}"
    assert f"{said}: what follows is not bit for bit" in caplog.text
    assert _tags(fit) == {"kindred.inexact": said}


@pytest.mark.fault("C14")
def test_a_checkpoint_without_numerics_promises_nothing(stopped: Path) -> None:
    state = json.loads(stopped.read_bytes())["state"]
    del state["numerics"]
    _rewrite(stopped, {"state": state})
    fit = make_fit(stopped.parents[1])

    run_fit(fit)

    assert "torch: None -> " in _tags(fit)["kindred.inexact"]


@pytest.mark.fault("C14")
def test_the_same_numerics_are_not_spoken_of(stopped: Path) -> None:
    fit = make_fit(stopped.parents[1])

    run_fit(fit)

    assert _tags(fit) == {}


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

    assert json.loads(done.stdout)["processor"] == "DEFAULT"
