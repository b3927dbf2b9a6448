"""Random faults against real training jobs: after any of them, the weights, memory, labels and ledger are bitwise those
of an undisturbed run, and MLflow has one run with the right status and every point once.

    python -m tests.faults.chaos [--faults 100] [--seed 0] [--folder DIR]

A supervisor as simple as any scheduler's types the same command again whenever it ended by a signal or with an exit
code that says so (75, 130); nothing else is ever done by hand. Workers change from attempt to attempt: 2 or 1 on Ray,
or none (in process). Exit code 1 if anything differs.
"""

import argparse
import json
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import psutil
from mlflow import MlflowClient

from tests.e2e.conftest import command, environment, kindred, result_of, verify_run
from tests.faults.chaos_faults import FAULTS, ON_RAY, Job, last_step, newest_checkpoint
from tests.wait_for import wait_for

STEPS = ["pretrain.epochs=10", "pretrain.hang_after_s=10", "pretrain.max_failures=20"]
AGAIN = {75, 130, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGINT}
FAULTS_PER_RUN = 4


@dataclass(frozen=True)
class Injected:
    """A fault after which no new step was seen yet."""

    name: str
    at: float
    last_step: int


@dataclass
class Campaign:
    """What was done and found."""

    folder: Path
    expected: dict[str, object]
    draw: random.Random
    only: Sequence[str]
    done: Counter[str] = field(default_factory=Counter)
    recoveries: dict[str, list[float]] = field(default_factory=dict)
    open: "Injected | None" = None
    wrong: list[str] = field(default_factory=list)
    runs: int = 0


def main() -> None:
    """Inject faults until there were enough, then print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="+", choices=list(FAULTS), default=list(FAULTS))
    parser.add_argument("--folder", type=Path, default=None)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="kindred-chaos-") as made:
        folder = options.folder or Path(made)
        campaign = run_campaign(folder, faults=options.faults, seed=options.seed, only=options.only)
    print(report(campaign))
    sys.exit(bool(campaign.wrong))


def run_campaign(folder: Path, *, faults: int, seed: int, only: Sequence[str] = tuple(FAULTS)) -> Campaign:
    """One undisturbed run, then disturbed ones until `faults` faults were injected."""
    folder.mkdir(parents=True, exist_ok=True)
    _finished(kindred("ingest", f"out={folder}/data", folder=folder))
    data = f"data.path={folder}/data/data"
    whole = kindred("pretrain", f"out={folder}/whole", data, *STEPS, folder=folder)
    campaign = Campaign(folder, _finished(whole), random.Random(seed), only)
    while campaign.done.total() < faults:
        number = min(FAULTS_PER_RUN, faults - campaign.done.total())
        _disturbed_run(campaign, data, faults=number)
    return campaign


def _finished(done: subprocess.CompletedProcess[str]) -> dict[str, object]:
    if done.returncode:
        raise SystemExit(done.stderr)
    return result_of(done)


def _disturbed_run(campaign: Campaign, data: str, *, faults: int) -> None:
    campaign.runs += 1
    campaign.open = None
    run = campaign.folder / f"run-{campaign.runs}"
    place, planned = run.with_suffix(".place"), faults
    place.mkdir()
    while True:
        workers = campaign.draw.choice((0, 1, 2, 2))
        given = [f"out={run}", data, *STEPS, f"pretrain.workers={workers}"]
        with (place / "out").open("w") as out, (place / "err").open("w") as err:
            process = psutil.Popen(
                command("pretrain", *given), cwd=place, env=environment(place), stdout=out, stderr=err
            )
            children: set[psutil.Process] = set()
            _measure(campaign, run, process)
            while planned and _inject(campaign, run, process, place, workers, children):
                planned -= 1
            code = process.wait()
        _check_gone(campaign, children)
        if code == 0:
            break
        if code not in AGAIN:
            campaign.wrong.append(f"run {campaign.runs}: exit code {code}: {(place / 'err').read_text()[-600:]}")
            return
    _check(campaign, run, place)
    shutil.rmtree(run)


def _check_gone(campaign: Campaign, children: set[psutil.Process]) -> None:
    """No process of a job outlives it by half a minute."""
    _, alive = psutil.wait_procs(children, timeout=30)
    for process in alive:
        campaign.wrong.append(f"run {campaign.runs}: left behind: {' '.join(process.cmdline())[:200]}")
        process.kill()


def _inject(
    campaign: Campaign, run: Path, process: psutil.Popen, place: Path, workers: int, children: set[psutil.Process]
) -> bool:
    """Wait for a random later step, inject a fault that this job can have, wait for the next new step.

    False when the job has ended. `children` gets what ran below the job.
    """
    last = last_step(run)
    target = last + campaign.draw.randint(1, 8)
    if not _reached(run, target, process):
        return False
    names = [name for name in campaign.only if workers or name not in ON_RAY]
    if not names:
        return process.poll() is None
    least = min(campaign.done[name] for name in names)
    name = campaign.draw.choice([name for name in names if campaign.done[name] == least])
    if name == "C05" and len(list((run / "pretrain" / "checkpoints").glob("step-*"))) < 2:
        return True  # with one checkpoint damaged there is nothing to fall back to
    job = Job(process, run, place / "mlflow.db", campaign.draw)
    started, before = time.monotonic(), last_step(run)
    try:
        children.update(process.children(recursive=True))
        injected = FAULTS[name](job)
    except psutil.NoSuchProcess:  # it ended just then
        injected = False
    if not injected:
        return True
    campaign.done[name] += 1
    campaign.open = Injected(name, started, before)
    _measure(campaign, run, process)
    return True


def _measure(campaign: Campaign, run: Path, process: psutil.Popen) -> None:
    """Seconds from the open fault to the next new step, of this attempt or, where the job ended, of the next one."""
    fault = campaign.open
    if fault is not None and _reached(run, fault.last_step + 1, process):
        campaign.recoveries.setdefault(fault.name, []).append(time.monotonic() - fault.at)
        campaign.open = None


def _reached(run: Path, step: int, process: psutil.Popen) -> bool:
    """Whether the spool got a later record of this step or more before the job ended."""
    wait_for(lambda: process.poll() is not None or last_step(run) >= step, seconds=280)
    return process.poll() is None


def _check(campaign: Campaign, run: Path, place: Path) -> None:
    result = json.loads((place / "out").read_text().splitlines()[-1])
    label = f"run {campaign.runs}"
    for key in ("state_hash", "ledger_sha256"):
        if result[key] != campaign.expected[key]:
            campaign.wrong.append(f"{label}: {key} {result[key]} instead of {campaign.expected[key]}")
    if (proof := verify_run(str(run), folder=place)).returncode:
        campaign.wrong.append(f"{label}: the ledger does not prove it: {proof.stdout[-300:]}")
    if not newest_checkpoint(run).name.endswith(f"{last_step(run):08d}"):
        campaign.wrong.append(f"{label}: the last checkpoint is not of the last step")
    campaign.wrong += [f"{label}: MLflow: {text}" for text in _tracking_faults(run, place)]


def _tracking_faults(run: Path, place: Path) -> list[str]:
    """One child run that is FINISHED and has each step's loss once."""
    synced = subprocess.run(
        [sys.executable, "-m", "jobs", "sync", str(run)],
        cwd=place,
        env=environment(place),
        capture_output=True,
        text=True,
        check=False,
    )
    if synced.returncode:
        return [f"sync failed: {synced.stderr[-300:]}"]
    client = MlflowClient(f"sqlite:///{place}/mlflow.db")
    experiments = [experiment.experiment_id for experiment in client.search_experiments()]
    runs = [r for r in client.search_runs(experiments) if r.info.run_name == "pretrain"]
    if len(runs) != 1:
        return [f"{len(runs)} pretrain runs"]
    found = [] if runs[0].info.status == "FINISHED" else [f"status {runs[0].info.status}"]
    steps = [point.step for point in client.get_metric_history(runs[0].info.run_id, "pretrain/loss/total")]
    if sorted(steps) != list(range(1, last_step(run) + 1)):
        found.append(f"{len(steps)} points of {last_step(run)} steps")
    return found


def report(campaign: Campaign) -> str:
    """Markdown: how often each fault was injected, seconds to the first new step (by the same command where the job
    ended), and what was wrong."""
    lines = ["| fault | injected | first new step: p50, p95, worst of n (s) |", "|---|---:|---|"]
    for name, fault in FAULTS.items():
        seconds = campaign.recoveries.get(name, [])
        shown = _percentiles(seconds) if seconds else "-"
        title = (fault.__doc__ or "").removeprefix(f"{name}: ").rstrip(".")
        lines.append(f"| {name}: {title} | {campaign.done[name]} | {shown} |")
    lines += ["", f"{campaign.done.total()} faults in {campaign.runs} runs; {len(campaign.wrong)} wrong."]
    return "\n".join([*lines, *campaign.wrong])


def _percentiles(seconds: Sequence[float]) -> str:
    middle, high = np.percentile(seconds, [50, 95])
    return f"{middle:.1f}, {high:.1f}, {max(seconds):.1f} of {len(seconds)}"


if __name__ == "__main__":
    main()
