"""What a failed worker group of Ray Train means to who started it."""

from ray.exceptions import ActorUnavailableError, RayError
from ray.train import WorkerGroupError
from ray.train.v2._internal.exceptions import WorkerHealthCheckFailedError
from ray.train.v2.api.exceptions import TrainingFailedError

from pipeline.errors import ClusterLost, EnvironmentFault


def group_failure(error: TrainingFailedError | RayError) -> EnvironmentFault:
    """ClusterLost where Ray itself failed or could not reach a worker: connecting anew helps. Else of the workers."""
    lines = str(error).strip().splitlines()
    if isinstance(error, RayError):
        return _lost(f"Ray lost the job: {lines[0][:400]}")
    last = lines[-1][:400]
    if isinstance(error, WorkerGroupError) and any(map(_out_of_reach, error.worker_failures.values())):
        return _lost(f"Ray lost sight of a worker: {last}")
    return EnvironmentFault(
        f"the worker group failed: {last}",
        code="RAY_WORKERS",
        fix="see the run folder's errors and Ray's logs; the same command resumes from the last checkpoint",
    )


def _lost(message: str) -> ClusterLost:
    return ClusterLost(message, code="RAY_LOST", fix="type the same command again: it resumes from the last checkpoint")


def _out_of_reach(failure: Exception) -> bool:
    cause = failure.health_check_failure if isinstance(failure, WorkerHealthCheckFailedError) else failure
    return isinstance(cause, ActorUnavailableError)
