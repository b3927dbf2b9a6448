"""How long a training stands still when a node of its cluster is lost: kill -9 of a node, to the next new step.

    python -m tests.benchmarks.node_loss --times 10

Two Ray nodes on this machine with one worker each (`pretrain.min_workers=1`, a checkpoint every two steps). Again and
again the second node is killed with all its processes at once, training goes on with one worker, another node joins,
and it goes on with two. Prints every loss, then p50, p95 and the worst beside the limit of 45 s that p95 has, and the
ratio of the two. How soon Ray misses a node is the cluster's setting: here 3 health checks, half a second apart.
"""

import argparse
import json
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.e2e.conftest import command, environment, kindred, wait_until
from tests.e2e.ray_cluster import LOST_NODE_SEEN_QUICKLY, Cluster, ray_cluster
from tests.faults.chaos_faults import last_step

LIMIT_S = 45.0
SETTLED_STEPS = 6
GIVEN = ["pretrain.epochs=100000", "pretrain.workers=2", "pretrain.min_workers=1", "pretrain.checkpoint_every=2"]


def main() -> None:
    """Lose nodes and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--times", type=int, default=10)
    times = parser.parse_args().times
    with (
        tempfile.TemporaryDirectory(prefix="kindred-bench-") as folder,
        ray_cluster(cpus=1, variables=LOST_NODE_SEEN_QUICKLY) as cluster,
    ):
        seconds = _losses(cluster, Path(folder), times)
    p50, p95 = np.percentile(seconds, [50, 95])
    found = {"p50_s": p50, "p95_s": p95, "worst_s": max(seconds), "ratio_p95_to_limit": p95 / LIMIT_S}
    print(json.dumps({"seconds": seconds} | {name: round(float(value), 2) for name, value in found.items()}))


def _losses(cluster: Cluster, folder: Path, times: int) -> list[float]:
    done = kindred("ingest", "out=run", folder=folder)
    if done.returncode:
        raise SystemExit(done.stderr)
    variables = environment(folder) | cluster.environment | {"RAY_ADDRESS": cluster.control_store}
    given = command("pretrain", "out=run", *GIVEN, f"pretrain.max_failures={times}")
    with (folder / "log").open("w") as log:
        job = subprocess.Popen(given, cwd=folder, env=variables, stdout=log, stderr=log, text=True)
        try:
            return [_lose_a_node(cluster, job, folder / "run", number) for number in range(times)]
        finally:
            job.kill()
            job.wait()


def _lose_a_node(cluster: Cluster, job: subprocess.Popen[str], run: Path, number: int) -> float:
    cluster.add_node(cpus=1)
    wait_until(job, lambda: len(cluster.workers()) == 2)
    begun = last_step(run)
    wait_until(job, lambda: last_step(run) >= begun + SETTLED_STEPS)
    cluster.kill_node()
    lost, began = last_step(run), time.monotonic()
    wait_until(job, lambda: last_step(run) > lost)
    seconds = time.monotonic() - began
    print(f"loss {number} after step {lost}: {seconds:5.1f} s to the next new step", flush=True)
    return round(seconds, 2)


if __name__ == "__main__":
    main()
