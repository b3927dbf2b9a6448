"""Messages between Ray's processes get lost: nothing waits for ever, and no bit of the result changes."""

import json
import subprocess
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.e2e.conftest import command, environment, kindred, result_of, tracked_runs

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(1200), pytest.mark.fault("P13")]
HANG_AFTER_S = 20
_SERVICES = {
    "ActorInfoGcsService": "RegisterActor CreateActor GetActorInfo GetAllActorInfo GetNamedActorInfo KillActorViaGcs",
    "InternalKVGcsService": "GetInternalConfig InternalKVGet InternalKVMultiGet InternalKVPut InternalKVExists",
    "JobInfoGcsService": "AddJob GetNextJobID GetAllJobInfo MarkJobFinished",
    "NodeInfoGcsService": "GetClusterId GetAllNodeInfo GetAllNodeAddressAndLiveness CheckAlive",
    "PlacementGroupInfoGcsService": "CreatePlacementGroup GetPlacementGroup WaitPlacementGroupUntilReady",
    "WorkerInfoGcsService": "AddWorkerInfo GetWorkerInfo ReportWorkerFailure",
}
TO_THE_CONTROL_STORE = [
    f"ray::rpc::{service}.grpc_client.{kind}" for service, kinds in _SERVICES.items() for kind in kinds.split()
]
"""What Ray asks its control store, which it asks again where no answer comes. Not RegisterNode: a node that registers
again because the reply was lost is declared dead (Ray 2.60, gcs_node_manager.cc), and its driver ends with 1."""


@pytest.fixture(scope="module")
def undisturbed(ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> object:
    folder = tmp_path_factory.mktemp("whole")
    done = kindred("pretrain", "out=run", f"data.path={ingested}/data", folder=folder)
    assert done.returncode == 0, done.stderr
    return result_of(done)["state_hash"]


def _losing(workplace: Path, percent: int, kinds: Sequence[str]) -> subprocess.CompletedProcess[str]:
    """Pretrain on two workers; so many requests, and so many replies, of these kinds of Ray's are lost."""
    lost = {"num_failures": -1, "req_failure_prob": percent, "resp_failure_prob": percent}
    given = ["out=run", "pretrain.workers=2", f"pretrain.hang_after_s={HANG_AFTER_S}", "pretrain.max_failures=0"]
    return subprocess.run(
        command("pretrain", *given),
        cwd=workplace,
        env=environment(workplace) | {"RAY_testing_rpc_failure": json.dumps(dict.fromkeys(kinds, lost))},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


def _ended_by_ray(done: subprocess.CompletedProcess[str]) -> bool:
    """Ray's own code ends the process at once and with 1 where its first questions at a start stay unanswered."""
    return done.returncode == 1 and "Inject RPC" in done.stderr.rstrip().split("\n")[-1]


def test_nothing_waits_for_ever_and_no_bit_changes(workplace: Path, undisturbed: object) -> None:
    """Nor at 2 %: what workers tell each other is not sent again, and a start has a hundred such messages."""
    lossy = _losing(workplace, 10, ["*"])

    assert lossy.returncode in (0, 75) or _ended_by_ray(lossy), lossy.stderr
    assert "Traceback" not in lossy.stderr
    done = kindred("pretrain", "out=run", folder=workplace)
    assert done.returncode == 0, done.stderr
    assert result_of(done)["state_hash"] == undisturbed
    assert tracked_runs(workplace) == dict.fromkeys(("run", "ingest", "pretrain"), "FINISHED")


@pytest.mark.parametrize("percent", [2, 10])
def test_a_loss_that_ray_makes_good_is_not_noticed(workplace: Path, undisturbed: object, percent: int) -> None:
    lossy = _losing(workplace, percent, TO_THE_CONTROL_STORE)

    assert lossy.returncode == 0, lossy.stderr
    assert percent < 10 or "Inject RPC" in lossy.stderr, "nothing was lost"
    assert result_of(lossy)["state_hash"] == undisturbed
