"""A step that always ends the workers is found after two attempts, and its samples are named."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import ROOT, command, environment

CRASH = '''
"""Ends rank 0 for good whenever it has itself begun step 6, as a crash in native code would."""
import os, threading, time

def read(path):
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return b""

def watch():
    path = os.environ["KINDRED_TEST_STEPS"]
    before = None
    while True:
        if os.environ.get("RANK") == "0":
            steps = read(path)
            before = len(steps) if before is None else before
            if len(steps) > before and int.from_bytes(steps[-8:], "little") >= 6:
                os._exit(139)
        time.sleep(0.002)

if "KINDRED_TEST_STEPS" in os.environ:
    threading.Thread(target=watch, daemon=True).start()
'''


@pytest.mark.ray
@pytest.mark.slow
@pytest.mark.fault("P15")
def test_two_attempts_and_not_more(ingested: Path, tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text(CRASH)
    steps = tmp_path / "run" / "pretrain" / "steps-of-attempts"
    extra = {"PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]), "KINDRED_TEST_STEPS": str(steps)}
    given = ["out=run", f"data.path={ingested}/data", "pretrain.workers=2", "pretrain.max_failures=8"]

    done = subprocess.run(
        command("pretrain", *given, "pretrain.checkpoint_every=1"),
        cwd=tmp_path,
        env={**environment(tmp_path), **extra},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 76, done.stderr
    error = json.loads(done.stdout.splitlines()[-1])["error"]
    assert error["code"] == "POISON_STEP"
    assert error["got"]["step"] in {6, 7}
    assert error["got"]["of"] == 16
    assert all(str(key).startswith("s0") for key in error["got"]["samples"])
    assert steps.stat().st_size == 16
