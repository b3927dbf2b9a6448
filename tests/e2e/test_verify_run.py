"""kindred verify RUN proves what a run was trained on, and finds a ledger that was changed."""

import json
import subprocess
import sys
from pathlib import Path

from tests.e2e.conftest import environment, kill_when, kindred, result_of


def _verify(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "jobs", "verify", "run", "--json"]
    return subprocess.run(command, cwd=folder, env=environment(folder), capture_output=True, text=True, check=False)


def test_a_killed_and_resumed_run_is_proved_and_a_changed_one_is_not(workplace: Path) -> None:
    checkpoints, ledger = workplace / "run/pretrain/checkpoints", workplace / "run/pretrain/ledger.bin"
    kill_when("pretrain", "out=run", folder=workplace, ready=lambda: any(checkpoints.glob("step-*")))
    unfinished = result_of(_verify(workplace))
    done = kindred("pretrain", "out=run", folder=workplace)
    proved = result_of(_verify(workplace))

    assert unfinished["status"] == "finished"
    assert (proved["epochs"], proved["missing"], proved["repeated"], proved["out_of_order"]) == (4, 0, 0, 0)
    assert proved["ledger_sha256"] == result_of(done)["ledger_sha256"] == ledger.read_bytes()[-32:].hex()

    payload = bytearray(ledger.read_bytes())
    payload[64 + 8 * 3] ^= 1
    ledger.write_bytes(payload)
    damaged = _verify(workplace)

    assert damaged.returncode == 65
    assert "LEDGER_DAMAGED" in damaged.stderr
    assert "epoch 0 step 0 sample 1" in damaged.stderr

    result = json.loads((workplace / "run/pretrain/recipe.json").read_text())
    (workplace / "run/pretrain/recipe.json").write_text(json.dumps({**result, "seed": 5}))
    other = _verify(workplace)

    assert other.returncode == 65
    assert "seed: 0 -> 5" in other.stderr
