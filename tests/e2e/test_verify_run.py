"""kindred verify RUN proves what a run was trained on, and finds a ledger that was changed."""

import json
from pathlib import Path

from tests.e2e.conftest import kill_when, kindred, result_of, verify_run


def test_a_killed_and_resumed_run_is_proved_and_a_changed_one_is_not(workplace: Path) -> None:
    checkpoints, ledger = workplace / "run/pretrain/checkpoints", workplace / "run/pretrain/ledger.bin"
    kill_when("pretrain", "out=run", folder=workplace, ready=lambda: any(checkpoints.glob("step-*")))
    unfinished = result_of(verify_run("run", folder=workplace))
    done = kindred("pretrain", "out=run", folder=workplace)
    proved = result_of(verify_run("run", folder=workplace))

    assert unfinished["status"] == "finished"
    assert (proved["epochs"], proved["missing"], proved["repeated"], proved["out_of_order"]) == (4, 0, 0, 0)
    assert proved["ledger_sha256"] == result_of(done)["ledger_sha256"] == ledger.read_bytes()[-32:].hex()

    payload = bytearray(ledger.read_bytes())
    payload[64 + 8 * 3] ^= 1
    ledger.write_bytes(payload)
    damaged = verify_run("run", folder=workplace)

    assert damaged.returncode == 65
    assert "LEDGER_DAMAGED" in damaged.stderr
    assert "epoch 0 step 0 sample 1" in damaged.stderr

    recipe = (workplace / "run/pretrain/recipe.json").read_text()
    (workplace / "run/pretrain/recipe.json").write_text(json.dumps({**json.loads(recipe), "seed": 5}))
    other = verify_run("run", folder=workplace)

    assert other.returncode == 65
    assert "seed: 0 -> 5" in other.stderr

    result = json.loads((workplace / "run/pretrain/result.json").read_text())
    (workplace / "run/pretrain/result.json").write_text(json.dumps({**result, "steps": "x"}))
    (workplace / "run/pretrain/recipe.json").write_text(recipe)
    untold = verify_run("run", folder=workplace)

    assert untold.returncode == 73
    assert "OUT_DAMAGED" in untold.stderr
