"""Run one function on every worker of a Ray Train group.

Training state is ours (pipeline.train.checkpoint): Ray starts, watches and restarts the workers, and each attempt
resumes from our newest checkpoint. Every launch gets a fresh Ray run name, so a snapshot of Ray's own can never matter.
"""

import contextlib
import logging
import os
import tempfile
import threading
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import JsonValue

from jobs._control_store import PRIVATE_LIMIT_S, PRIVATE_RECONNECT_S, SHARED_LIMIT_S, ControlStore
from jobs._left_behind import nothing_left_behind
from jobs._ray_room import require_gpus
from jobs._ray_start import ALLOCATOR_ENVIRONMENT, LOOPBACK_ONLY, connect
from jobs._ray_token import private_token, require_token
from jobs._raylet import Raylet
from jobs._signals import kept_handlers
from pipeline.errors import ClusterLost, Preempted

ResultT = TypeVar("ResultT")
_log = logging.getLogger(__name__)

_WATCHER = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"

LOOK_S = 0.2
"""How often the main thread looks up from waiting for Ray: for signals, and at its watches."""

RESIZE_EVERY_S = 10.0
"""How often an elastic group looks for room to grow; Ray's 60 s leave a node idle for a minute."""

# Ray's own events and reports are read by nobody here and cost a tenth of two cores.
RAY_ENVIRONMENT = {
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "2.0",
    "RAY_TRAIN_WORKER_HEALTH_CHECK_TIMEOUT_S": "60",  # a worker without peers that is stopped; Ray waits ten minutes
    "RAY_TRAIN_METRICS_ENABLED": "0",
    "RAY_TRAIN_ENABLE_STATE_ACTOR_RECONCILIATION": "0",
    "RAY_event_stats": "0",
    "RAY_task_events_report_interval_ms": "0",
    "RAY_raylet_report_resources_period_milliseconds": "1000",
    "RAY_USAGE_STATS_ENABLED": "0",
}

# A private Ray's metrics are read by nobody either; those of a shared cluster include our own (jobs/_gauges.py).
PRIVATE_ENVIRONMENT = {
    "RAY_enable_metrics_collection": "0",
    "RAY_gcs_rpc_server_reconnect_timeout_s": str(PRIVATE_RECONNECT_S),
    LOOPBACK_ONLY: "0",
    _WATCHER: "0",  # where this machine is taken away, the driver is told itself
}


@dataclass(frozen=True)
class Workers:
    """Size of a worker group. least: fewer will do while the cluster has no room for `count`."""

    count: int
    least: int | None = None
    cpus: float = 1
    gpus: float = 0
    max_failures: int = 3


def launch(
    function: Callable[[dict[str, JsonValue]], object],
    config: Mapping[str, JsonValue],
    workers: Workers,
    *,
    watches: Sequence[Callable[[], None]] = (),
    stopping: Callable[[], bool] = lambda: False,
) -> object:
    """Call `function(config)` on every worker; returns rank 0's value. Raises EnvironmentFault when the group fails,
    ClusterLost when Ray itself does, Preempted where it does while `stopping` says that the workers are to stop.

    `watches` are called a few times a second while the workers run. Ray restarts workers; where it loses its
    controller, or a watch raises ClusterLost, this connects anew, which frees what the old one held.
    """
    left = workers.max_failures
    while True:
        try:
            return _launch_once(function, config, workers, watches, stopping)
        except ClusterLost as error:
            if stopping():
                raise Preempted(error.message, code="PREEMPTED", fix=error.fix) from error
            if left == 0:
                raise
            _log.warning("%s; connecting anew, %d times at most", error.message, left)
            left -= 1


def _launch_once(
    function: Callable[[dict[str, JsonValue]], object],
    config: Mapping[str, JsonValue],
    workers: Workers,
    watches: Sequence[Callable[[], None]],
    stopping: Callable[[], bool],
) -> object:
    with connected(workers, stopping) as session, scratch(session, "kindred-ray-") as storage:
        from ray.exceptions import RayError
        from ray.train import FailureConfig, RunConfig, ScalingConfig
        from ray.train.torch import TorchTrainer
        from ray.train.v2.api.exceptions import TrainingFailedError

        from jobs._group_failure import group_failure
        from jobs._rendezvous import BoundTorchConfig

        try:
            require_gpus(workers.gpus, workers.least or workers.count, private=is_private())
            trainer = TorchTrainer(
                function,
                train_loop_config=dict(config),
                scaling_config=ScalingConfig(
                    num_workers=(workers.least, workers.count) if workers.least else workers.count,
                    elastic_resize_monitor_interval_s=RESIZE_EVERY_S,
                    use_gpu=workers.gpus > 0,
                    resources_per_worker={"CPU": workers.cpus} | ({"GPU": workers.gpus} if workers.gpus else {}),
                ),
                run_config=RunConfig(
                    name=f"kindred-{uuid.uuid4().hex[:12]}",
                    storage_path=storage,
                    failure_config=FailureConfig(max_failures=workers.max_failures),
                ),
                torch_config=BoundTorchConfig(timeout_s=300),
            )
            return in_side_thread(trainer.fit, *watches, *daemon_watches()).return_value
        except (TrainingFailedError, RayError) as error:
            raise group_failure(error) from error


@contextlib.contextmanager
def connected(workers: Workers, stopping: Callable[[], bool] = lambda: False) -> Iterator[Path | None]:
    """Ray, attached to RAY_ADDRESS or private; a connection that this made ends with the block.

    Gives the folder of a private one's session, which goes when it is no longer needed, however this process ends.

    Signal handlers stay as they are. Raises Preempted where one leaves `stopping` true while Ray starts.
    """
    _prepare_environment(elastic=workers.least is not None)
    import ray

    if ray.is_initialized():
        yield None
        return
    cpus = max(float(os.cpu_count() or 1), workers.count * workers.cpus)
    try:
        with kept_handlers(stopping):
            session = connect(int(cpus))
    except BaseException:
        if ray.is_initialized():  # Ray caught what a signal raised, and went on
            ray.shutdown()
        raise
    with contextlib.nullcontext() if session is None else nothing_left_behind(session):
        try:
            yield session
        finally:
            with kept_handlers():
                ray.shutdown()


def scratch(session: Path | None, prefix: str) -> "tempfile.TemporaryDirectory[str]":
    """A folder for what Ray keeps during one block; who still writes there when Ray is lost must not hide that."""
    return tempfile.TemporaryDirectory(prefix=prefix, dir=session, ignore_cleanup_errors=True)


def daemon_watches() -> list[Callable[[], None]]:
    """To be called a few times a second while Ray is `connected`: each raises ClusterLost where a daemon of Ray has
    ended, which would end this process without a word."""
    import ray

    limit_s = PRIVATE_LIMIT_S if is_private() else SHARED_LIMIT_S
    return [ControlStore(ray.get_runtime_context().gcs_address, limit_s), Raylet()]


def in_side_thread(fit: Callable[[], ResultT], *watches: Callable[[], None]) -> ResultT:
    """What `fit` returns. In the main thread Ray would replace our SIGINT handler and abort without a checkpoint.

    A daemon thread, so that a second signal ends the process at once.
    """
    future: Future[ResultT] = Future()

    def run() -> None:
        try:
            future.set_result(fit())
        except BaseException as error:
            future.set_exception(error)

    threading.Thread(target=run, name="ray-train", daemon=True).start()
    while not future.done():
        with contextlib.suppress(TimeoutError):
            future.exception(timeout=LOOK_S)
        for watch in watches:
            watch()
    return future.result()


def is_private() -> bool:
    """Whether Ray is, or would be, one that this process starts: nothing else needs its room."""
    return not os.environ.get("RAY_ADDRESS")


def _prepare_environment(*, elastic: bool) -> None:
    for name, value in (RAY_ENVIRONMENT | ALLOCATOR_ENVIRONMENT).items():
        os.environ.setdefault(name, value)
    if elastic:  # the first attempt after a lost node asks for what went with it, and waits this long in vain
        os.environ.setdefault("RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S", "15")
    address = os.environ.get("RAY_ADDRESS")
    if address:
        require_token(address)
        return
    for name, value in PRIVATE_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    if os.environ.setdefault("RAY_AUTH_MODE", "token") == "token":
        private_token()


def reclaimed() -> bool:
    """Whether a machine of this worker group is about to be taken away. Collective, and slow: ask every few seconds."""
    from ray.train import get_preemption_info

    return os.environ.get(_WATCHER) != "0" and get_preemption_info() is not None
