"""Steady-state pretraining throughput: Ray Train workers against the same processes under torchrun.

    python -m tests.benchmarks.ray_throughput RECIPE [KEY=VALUE ...] --rounds 3 --seconds 120

Both sides run the same worker function with the same recipe and allocator settings on an ingested data set,
interleaved, each for `seconds` after its first step. Samples per second are counted between the first and the last
logged step, so start-up is not in them. Prints every round and one ratio (median over rounds).
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import uuid
from pathlib import Path

import torch

from jobs._ray import ALLOCATOR_ENVIRONMENT, PRIVATE_ENVIRONMENT, Workers, launch
from jobs._signals import STOP_FILE, graceful_stop
from jobs.configs import Recipe
from jobs.pretrain import train_worker
from pipeline.config import load_config
from pipeline.tracking import read_spool

ENDLESS = ("pretrain.epochs=100000", "pretrain.log_every=1")
"""Until it is told to stop, with a point for each step."""


def main() -> None:
    """Run the rounds and print the ratio."""
    options = options_of(__doc__, seconds=120)
    recipe = load_config(Recipe, options.recipe, [*options.overrides, *ENDLESS])
    rates: dict[str, list[float]] = {"torchrun": [], "ray": []}
    for number in range(options.rounds):
        order = ["torchrun", "ray"] if number % 2 == 0 else ["ray", "torchrun"]
        for side in order:
            rates[side].append(measure(side, recipe, options.seconds))
            print(f"round {number} {side:9s} {rates[side][-1]:8.1f} samples/s", flush=True)
    ratios = [r / t for r, t in zip(rates["ray"], rates["torchrun"], strict=True)]
    print(json.dumps({"rates": rates, "ratios": ratios, "ratio_ray_over_torchrun": statistics.median(ratios)}))


def options_of(description: str | None, *, seconds: float) -> argparse.Namespace:
    """A recipe with overrides, and how many rounds of how many seconds."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("recipe", type=Path)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=seconds)
    return parser.parse_args()


def measure(side: str, recipe: Recipe, seconds: float) -> float:
    """Samples per second of one run of `seconds`."""
    with tempfile.TemporaryDirectory(prefix="kindred-bench-") as temporary:
        folder = Path(temporary) / "pretrain"
        folder.mkdir()
        config = {
            "recipe": recipe.model_dump_json(by_alias=True),
            "data": str(recipe.dataset_folder.resolve()),
            "folder": str(folder),
            "command": uuid.uuid4().hex,
        }
        spool = Path(temporary) / "tracking" / "pretrain.jsonl"
        stopper = threading.Thread(target=_stop_after, args=(spool, folder / STOP_FILE, seconds), daemon=True)
        stopper.start()
        workers = recipe.pretrain.workers
        if side == "ray":
            with graceful_stop(folder):
                launch(train_worker, config, Workers(workers, max_failures=0))
        else:
            _torchrun(config, workers, Path(temporary))
        stopper.join()
        points = [record for record in read_spool(spool)[0] if "pretrain/loss/total" in record.values]
        shutil.rmtree(folder, ignore_errors=True)
    steps, milliseconds = points[-1].step - points[0].step, points[-1].time_ms - points[0].time_ms
    return steps * recipe.pretrain.batch_size * 1000 / milliseconds


def _stop_after(spool: Path, stop: Path, seconds: float) -> None:
    waiting = threading.Event()
    while not spool.exists():
        waiting.wait(0.2)
    waiting.wait(seconds)
    stop.touch()


def _torchrun(config: dict[str, str], workers: int, folder: Path) -> None:
    (folder / "config.json").write_text(json.dumps(config))
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={workers}"]
    command += ["-m", "tests.benchmarks.ray_throughput", "--worker", str(folder / "config.json")]
    variables = os.environ | ALLOCATOR_ENVIRONMENT | PRIVATE_ENVIRONMENT
    subprocess.run(command, check=True, env=variables, stdout=subprocess.DEVNULL)


def _worker(path: str) -> None:
    torch.distributed.init_process_group("gloo")
    train_worker(json.loads(Path(path).read_text()))
    torch.distributed.destroy_process_group()


if __name__ == "__main__":
    if sys.argv[1:2] == ["--worker"]:
        _worker(sys.argv[2])
    else:
        main()
