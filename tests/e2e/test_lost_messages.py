"""Messages between Ray's processes get lost: nothing waits for ever, and no bit of the result changes."""

import json
import subprocess
from pathlib import Path

import pytest

from tests.e2e.conftest import command, environment, kindred, result_of, tracked_runs

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.fault("P13")]
HANG_AFTER_S = 20


@pytest.fixture(scope="module")
def undisturbed(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = tmp_path_factory.mktemp("whole")
    done = kindred("pretrain", "out=run", f"data.path={ingested}/data", folder=folder)
    assert done.returncode == 0, done.stderr
    return result_of(done)["state_hash"]


def _losing(workplace: Path, percent: int) -> subprocess.CompletedProcess[str]:
    """Pretrain on two workers; so many requests, and so many replies, of every kind of Ray's are lost."""
    lost = {"num_failures": -1, "req_failure_prob": percent, "resp_failure_prob": percent}
    given = ["out=run", "pretrain.workers=2", f"pretrain.hang_after_s={HANG_AFTER_S}", "pretrain.max_failures=0"]
    return subprocess.run(
        command("pretrain", *given),
        cwd=workplace,
        env=environment(workplace) | {"RAY_testing_rpc_failure": json.dumps({"*": lost})},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@pytest.mark.parametrize("percent", [2, 10])
def test_nothing_waits_for_ever_and_no_bit_changes(workplace: Path, undisturbed: object, percent: int) -> None:
    lossy = _losing(workplace, percent)

    assert lossy.returncode in (0, 75), lossy.stderr
    assert "Traceback" not in lossy.stderr
    done = kindred("pretrain", "out=run", folder=workplace)
    assert done.returncode == 0, done.stderr
    assert result_of(done)["state_hash"] == undisturbed
    assert tracked_runs(workplace) == dict.fromkeys(("run", "ingest", "pretrain"), "FINISHED")
