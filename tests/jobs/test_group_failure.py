"""Workers that failed, and workers that Ray lost sight of: the second is mended by connecting anew."""

import pytest
from ray.exceptions import ActorDiedError, ActorUnavailableError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import ControllerError

from jobs._group_failure import group_failure

pytestmark = pytest.mark.fault("P13")
UNSEEN = ActorUnavailableError("RPC error: Connection reset", None)


@pytest.mark.parametrize("failure", [UNSEEN, WorkerHealthCheckFailedError("rank 1", UNSEEN)])
def test_a_worker_out_of_reach_is_a_loss_of_the_cluster(failure: Exception) -> None:
    error = group_failure(WorkerGroupError("rank 1 is unavailable", {1: failure}))

    assert (error.code, error.exit_code) == ("RAY_LOST", 75)
    assert "rank 1 is unavailable" in error.message


@pytest.mark.parametrize(
    "error",
    [
        WorkerGroupError("rank 0 failed", {0: ValueError("no")}),
        WorkerGroupError("rank 0 failed", {0: WorkerHealthCheckFailedError("rank 0", ActorDiedError())}),
        ControllerError(RuntimeError("rank 0 failed")),
    ],
)
def test_any_other_failure_is_of_the_workers(error: WorkerGroupError | ControllerError) -> None:
    assert (group_failure(error).code, group_failure(error).exit_code) == ("RAY_WORKERS", 71)
