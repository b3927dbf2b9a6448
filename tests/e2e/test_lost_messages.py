"""Ray's own requests and replies get lost: exact where few do; where many do, exit code 75 and exact afterwards."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import command, environment, kindred, result_of

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(900), pytest.mark.fault("P13")]


def _losing(percent: int) -> dict[str, str]:
    every = {"num_failures": -1, "req_failure_prob": percent, "resp_failure_prob": percent}
    return {"RAY_testing_rpc_failure": json.dumps({"*": every})}


@pytest.mark.parametrize("percent", [1, 2, 10])
def test_lost_messages_cost_no_bit(workplace: Path, percent: int) -> None:
    expected = result_of(kindred("pretrain", "out=whole", "data.path=run/data", folder=workplace))["state_hash"]
    done = subprocess.run(
        command("pretrain", "out=run", "pretrain.workers=2"),
        cwd=workplace, env=environment(workplace) | _losing(percent), capture_output=True, text=True, check=False,
        timeout=600,
    )  # fmt: skip

    if percent >= 10 and done.returncode:
        assert done.returncode == 75, done.stderr
        assert "Traceback" not in done.stderr
        done = kindred("pretrain", "out=run", "pretrain.workers=2", folder=workplace)
    assert done.returncode == 0, done.stderr
    assert result_of(done)["state_hash"] == expected
