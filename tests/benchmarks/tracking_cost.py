"""What tracking costs a training step: without it, with a healthy store, with the server down, and with one that hangs.

    python -m tests.benchmarks.tracking_cost --rounds 20 --steps 50

All four log from the same loop, in blocks of steps that take turns; only the sidecar of the block that runs is awake.
Prints median step times and, as one JSON line, the median over the rounds of each block's ratio to the untracked one.
"""

import argparse
import contextlib
import json
import logging
import socket
import statistics
import tempfile
import time
from pathlib import Path

import psutil
import torch

from jobs._mlflow import create_sqlite
from jobs._tracking import RunIdentity, tracked
from pipeline.tracking import MemoryRun, Run

NOBODY = "http://127.0.0.1:9"
METRICS = ("loss/total", "loss/intra", "loss/inter", "lr", "gradient_norm", "time/step_s", "time/wait_s", "health/rank")


class TrainStep:
    """A step of some tens of milliseconds."""

    def __init__(self) -> None:
        self.module = torch.nn.Sequential(torch.nn.Linear(512, 1024), torch.nn.GELU(), torch.nn.Linear(1024, 512))
        self.optimiser = torch.optim.AdamW(self.module.parameters())
        self.inputs = torch.randn(1024, 512)

    def __call__(self) -> float:
        """The loss."""
        self.optimiser.zero_grad()
        loss = self.module(self.inputs).square().mean()
        loss.backward()
        self.optimiser.step()
        return float(loss.detach())


def main() -> None:
    """Train a small network and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=20)
    parser.add_argument("--steps", type=int, default=50, help="in a block")
    options = parser.parse_args()
    logging.disable(logging.WARNING)  # what is not delivered is the point here
    torch.set_num_threads(1)
    with (
        tempfile.TemporaryDirectory(prefix="kindred-bench-") as temporary,
        socket.create_server(("127.0.0.1", 0)) as hanging,
        contextlib.ExitStack() as stack,
    ):
        folder = Path(temporary)
        create_sqlite(folder / "mlflow.db")
        stores = {
            "healthy": f"sqlite:///{folder}/mlflow.db",
            "down": NOBODY,
            "hanging": f"http://127.0.0.1:{hanging.getsockname()[1]}",
        }
        logged: dict[str, Run] = {"untracked": MemoryRun()}
        sidecars: dict[str, psutil.Process] = {}
        for name, uri in stores.items():
            before = set(psutil.Process().children())
            tracking = stack.enter_context(tracked(folder / name, RunIdentity("bench", name, "k", {}), uri=uri))
            logged[name] = stack.enter_context(tracking.stage("pretrain", job_key="p"))
            (sidecars[name],) = set(psutil.Process().children()) - before
        seconds = measure(logged, sidecars, rounds=options.rounds, steps=options.steps)
    for name, blocks in seconds.items():
        print(f"{name:10s} {statistics.median(blocks) * 1e3:8.3f} ms a step")
    print(json.dumps({name: round(ratio(blocks, seconds["untracked"]), 4) for name, blocks in seconds.items()}))


def measure(
    logged: dict[str, Run], sidecars: dict[str, psutil.Process], *, rounds: int, steps: int
) -> dict[str, list[float]]:
    """Median seconds of a step, by store and round; the order rotates."""
    step = TrainStep()
    names, seconds = list(logged), {name: list[float]() for name in logged}
    for number in range(rounds):
        for name in names[number % len(names) :] + names[: number % len(names)]:
            for other, sidecar in sidecars.items():
                sidecar.resume() if other == name else sidecar.suspend()
            seconds[name].append(block(step, logged[name], range(number * steps, (number + 1) * steps)))
    for sidecar in sidecars.values():
        sidecar.resume()
    return seconds


def block(step: TrainStep, run: Run, numbers: range) -> float:
    """Median seconds of a step and its log line."""
    taken = []
    for number in numbers:
        started = time.perf_counter()
        loss = step()
        run.metrics(dict.fromkeys(METRICS, loss), number)
        taken.append(time.perf_counter() - started)
    return statistics.median(taken)


def ratio(blocks: list[float], base: list[float]) -> float:
    """Median over the rounds."""
    return statistics.median(mine / theirs for mine, theirs in zip(blocks, base, strict=True))


if __name__ == "__main__":
    main()
