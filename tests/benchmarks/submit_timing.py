"""From `kindred submit` to the first step and to the end, on a head started with `ray start` on this machine.

    python -m tests.benchmarks.submit_timing RECIPE [KEY=VALUE ...] [--cpus 3]

Submits `run RECIPE`, follows it live, and prints when things happened, in seconds after the command: the driver and its
first line (as submit itself reports), the stages and the first step (as MLflow has them), the end. The same recipe in
process, without Ray, is what to compare with: its own stages are timed alike, and the last line has the ratio.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mlflow import MlflowClient

from tests.e2e.ray_cluster import Cluster, ray_cluster


def main() -> None:
    """Run both and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--cpus", type=int, default=3, help="of the head: one for the driver, one a worker")
    options = parser.parse_args()
    with ray_cluster(cpus=options.cpus) as cluster:
        there = _submitted(cluster, options.recipe.resolve(), options.overrides)
    here = _in_process(options.recipe.resolve(), options.overrides)
    for event, seconds in there.items():
        print(f"{event:20s} {seconds:8.1f} s submitted {here.get(event, float('nan')):8.1f} s in process")
    print(json.dumps({"submitted": there, "in_process": here, "ratio_end": round(there["end"] / here["end"], 3)}))


def _submitted(cluster: Cluster, recipe: Path, overrides: list[str]) -> dict[str, float]:
    out = cluster.folder / "run"
    began = time.time()
    done = cluster.submit("run", f"out={out}", *overrides, "--follow", recipe=recipe)
    end = time.time() - began
    if done.returncode:
        raise SystemExit(done.stderr)
    told = json.loads(done.stdout.splitlines()[-1])
    own = {"driver": told["driver_s"], "first line": told["first_line_s"]}
    return own | _events(cluster.tracking, began) | {"end": end}


def _in_process(recipe: Path, overrides: list[str]) -> dict[str, float]:
    with tempfile.TemporaryDirectory(prefix="kindred-bench-") as folder:
        tracking = f"sqlite:///{folder}/m.db"
        words = [sys.executable, "-m", "jobs", "run", str(recipe), f"out={folder}/run", *overrides]
        began = time.time()
        subprocess.run(
            [*words, "pretrain.workers=0"],
            env=os.environ | {"MLFLOW_TRACKING_URI": tracking},
            check=True,
            capture_output=True,
        )
        end = time.time() - began
        return _events(tracking, began) | {"end": end}


def _events(tracking: str, began: float) -> dict[str, float]:
    """Seconds after `began`: the start of every stage, and the first step of pretraining."""
    client = MlflowClient(tracking)
    runs = client.search_runs([experiment.experiment_id for experiment in client.search_experiments()])
    stages = {run.info.run_name: run for run in runs if "mlflow.parentRunId" in run.data.tags}
    found = {str(name): run.info.start_time / 1000 - began for name, run in stages.items()}
    steps = client.get_metric_history(stages["pretrain"].info.run_id, "pretrain/loss/total")
    found["first step"] = min(point.timestamp for point in steps) / 1000 - began
    return dict(sorted(found.items(), key=lambda event: event[1]))


if __name__ == "__main__":
    main()
