"""What do missing modalities cost? Fused probe accuracy with 30 % of every stream missing, against complete data.

    python -m tests.benchmarks.missing_modalities [KEY=VALUE ...] [--seeds 0 1 2] [--missing 0.3] [--out runs/missing]

The demo's recordings are planted twice from the same draws: all streams of all events, and without a share of each, in
the training and in the test split alike. Every seed trains on both; a finished run is not run again, so the command can
be stopped and typed again. One thread each, --at-once of them. Prints mean and sample sd over seeds, the paired
differences, the controls beside them, and whether the gate holds: at most 3 points lost with all labels.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

RECIPE = Path(__file__).parents[2] / "jobs" / "recipes" / "demo.yaml"
MOST_LOST = 3.0
"""Points of accuracy, all streams and all labels, that missing modalities may cost."""
GATE = "probe/fused/linear/100"
FIGURES = (
    GATE,
    "probe/fused/linear/10",
    "probe/fused/knn/100",
    "control/features/fused/100",
    "control/random_init/fused/100",
)
Figures = dict[str, float]


def main() -> None:
    """Run what is missing, print, and fail where the gate does not hold."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", metavar="KEY=VALUE")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--missing", type=float, default=0.3)
    parser.add_argument("--at-once", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("runs/missing"))
    options = parser.parse_args()
    rates = (0.0, options.missing)
    for rate in rates:
        _kindred("ingest", [f"out={_ingest(options.out, rate)}", *_planted(rate), *options.overrides])
    jobs = [(rate, seed) for seed in options.seeds for rate in rates]
    with ThreadPoolExecutor(options.at_once) as pool:
        found = dict(zip(jobs, pool.map(lambda job: _run(options, *job), jobs), strict=True))
    complete, missing = ([found[rate, seed] for seed in options.seeds] for rate in rates)
    print(report(complete, missing, rate=options.missing))
    sys.exit(lost(complete, missing) > MOST_LOST)


def _planted(rate: float) -> list[str]:
    return [f"data.generate.missing_{stream}={rate}" for stream in ("imu", "photo", "note")]


def _ingest(out: Path, rate: float) -> Path:
    return out / f"ingest-{rate:g}"


def _run(options: argparse.Namespace, rate: float, seed: int) -> Figures:
    folder, data = options.out / f"missing-{rate:g}-seed{seed}", _ingest(options.out, rate) / "data"
    given = [*_planted(rate), f"seed={seed}", f"out={folder}", f"data.path={data}", *options.overrides]
    _kindred("pretrain", given)
    _kindred("probe", given)
    metrics = json.loads((folder / "result.json").read_text())["metrics"]
    return {name: metrics[f"{name}/accuracy"] for name in FIGURES}


def _kindred(verb: str, arguments: list[str]) -> None:
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "jobs", verb, str(RECIPE), "pretrain.workers=0", *arguments]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr[-2000:]}")


def lost(complete: list[Figures], missing: list[Figures]) -> float:
    """Mean points of the gate's figure that missing modalities cost, by seed."""
    return statistics.mean(100 * (a[GATE] - b[GATE]) for a, b in zip(complete, missing, strict=True))


def report(complete: list[Figures], missing: list[Figures], *, rate: float) -> str:
    """Markdown: accuracy in percent, mean ± sample sd over seeds, and paired differences; then the gate."""
    lines = [f"| figure | complete | {rate:.0%} missing | points lost |", "|---|---:|---:|---:|"]
    for name in FIGURES:
        whole, part = ([100 * figures[name] for figures in seeds] for seeds in (complete, missing))
        cells = (_cell(whole), _cell(part), _cell([a - b for a, b in zip(whole, part, strict=True)]))
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    cost = lost(complete, missing)
    verdict = "holds" if cost <= MOST_LOST else "DOES NOT HOLD"
    return "\n".join([*lines, "", f"- at most {MOST_LOST:g} points of {GATE} lost: {cost:.1f} ({verdict})"])


def _cell(values: list[float]) -> str:
    spread = f" ± {statistics.stdev(values):.1f}" if len(values) > 1 else ""
    return f"{statistics.mean(values):.1f}{spread}"


if __name__ == "__main__":
    main()
