"""Messages between Ray's processes get lost: nothing waits for ever, and no bit of the result changes."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import command, environment, kindred, result_of, tracked_runs

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(3600), pytest.mark.fault("P13")]
HANG_AFTER_S = 20
TYPED_AGAIN = 5
"""Times that a scheduler would type the command again, which ends with 75 where Ray cannot go on."""


@pytest.fixture(scope="module")
def undisturbed(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = tmp_path_factory.mktemp("whole")
    done = kindred("pretrain", "out=run", f"data.path={ingested}/data", folder=folder)
    assert done.returncode == 0, done.stderr
    return result_of(done)["state_hash"]


def _losing(workplace: Path, percent: int) -> subprocess.CompletedProcess[str]:
    """Pretrain on two workers; so many requests, and so many replies, of every kind of Ray's are lost."""
    lost = {"num_failures": -1, "req_failure_prob": percent, "resp_failure_prob": percent}
    given = ["out=run", "pretrain.workers=2", f"pretrain.hang_after_s={HANG_AFTER_S}"]
    return subprocess.run(
        command("pretrain", *given),
        cwd=workplace,
        env=environment(workplace) | {"RAY_testing_rpc_failure": json.dumps({"*": lost})},
        capture_output=True,
        text=True,
        check=False,
        timeout=1500,
    )


def test_two_percent_cost_no_bit(workplace: Path, undisturbed: object) -> None:
    for _ in range(TYPED_AGAIN):
        done = _losing(workplace, 2)
        if done.returncode != 75:
            break

    assert done.returncode == 0, done.stderr
    assert result_of(done)["state_hash"] == undisturbed
    assert tracked_runs(workplace) == dict.fromkeys(("run", "ingest", "pretrain"), "FINISHED")


def test_ten_percent_end_cleanly_and_are_gone_on_with(workplace: Path, undisturbed: object) -> None:
    lossy = _losing(workplace, 10)

    assert lossy.returncode in (0, 75), lossy.stderr
    assert "Traceback" not in lossy.stderr
    done = kindred("pretrain", "out=run", folder=workplace)
    assert done.returncode == 0, done.stderr
    assert result_of(done)["state_hash"] == undisturbed
