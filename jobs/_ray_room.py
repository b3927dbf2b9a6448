"""Whether a Ray has the GPUs that workers ask for: one without them waits, in silence."""

import logging
import math
from collections.abc import Sequence

from pipeline.errors import EnvironmentFault

_log = logging.getLogger(__name__)
_PARTS = 10_000
"""Of a GPU, by which Ray counts."""


def require_gpus(per_worker: float, workers: int, *, private: bool) -> None:
    """Raises EnvironmentFault where the connected, private Ray has too few for that many `workers`; a shared one may
    grow, as it may for want of CPUs, which is said."""
    if not per_worker:
        return
    import ray

    nodes = [float(node["Resources"].get("GPU", 0)) for node in ray.nodes() if node["Alive"]]
    if room(nodes, per_worker) >= workers:
        return
    wanted = f"{workers} worker{'s' * (workers > 1)} with {per_worker:g} GPU{'s' * (per_worker > 1)} each"
    if not private:
        _log.warning("the cluster has %g GPUs, too few for %s: waiting until it has more", sum(nodes), wanted)
        return
    raise EnvironmentFault(
        f"this machine has too few GPUs for {wanted}",
        code="ENV_GPUS",
        field="pretrain.gpus",
        expected=f">= {_needed(workers, per_worker)} GPUs",
        got=f"{sum(nodes):g} GPUs",
        fix="set pretrain.gpus=0, or fewer pretrain.workers; or run where the GPUs are: nvidia-smi and "
        "CUDA_VISIBLE_DEVICES say which there are, RAY_ADDRESS sends the job to a cluster",
    )


def room(nodes: Sequence[float], per_worker: float) -> int:
    """How many workers fit. nodes: GPUs of each. Parts of a GPU are dealt from one alone."""
    if per_worker < 1:
        return sum(int(gpus) * _sharers(per_worker) for gpus in nodes)
    return sum(int(gpus // per_worker) for gpus in nodes)


def _needed(workers: int, per_worker: float) -> int:
    return math.ceil(workers / _sharers(per_worker)) if per_worker < 1 else int(workers * per_worker)


def _sharers(part: float) -> int:
    """Workers that one GPU serves, by the parts that Ray counts."""
    return _PARTS // max(1, round(part * _PARTS))
