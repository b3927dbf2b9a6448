"""How fast an epoch starts, or resumes in its middle, at 10^8 samples, beside the sort that this replaces.

    python -m tests.benchmarks.plan_start [--samples 100000000] [--resume 10000000]

Each case runs in a process of its own: build the plan and compute the batch of the first or the resumed sample.
`range` is a contiguous split, `strided` every second sample of a memory-mapped int64 array, `sorted` the same from a
keyed sort of all samples (measured at a tenth of the samples and scaled). Seconds are for building plus one batch; peak
is of memory allocated by then (tracemalloc), so without pages of the mapped file. Goals: 1 s and 200 MB. Prints one
JSON line.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
import tracemalloc
from pathlib import Path

import numpy as np

from pipeline.data.plan import Plan
from pipeline.data.rows import RangeRows, Rows, rows_of

BATCH = 256
SORT_SHARE = 10


def main() -> None:
    """Run every case in rounds and print the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=100_000_000)
    parser.add_argument("--resume", type=int, default=10_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--case", nargs=2, metavar=("ROWS", "SAMPLE"))
    parser.add_argument("--file", type=Path)
    options = parser.parse_args()
    if options.case:
        print(json.dumps(measure(options.case[0], options.samples, int(options.case[1]), options.file)))
        return
    with tempfile.TemporaryDirectory(prefix="kindred-bench-") as folder:
        file = Path(folder) / "rows.npy"
        write_rows(file, options.samples)
        cases = [(rows, sample) for rows in ("range", "strided", "sorted") for sample in (0, options.resume)]
        found: dict[str, list[dict[str, float]]] = {f"{rows} at {sample}": [] for rows, sample in cases}
        for number in range(options.rounds):
            for rows, sample in cases if number % 2 == 0 else reversed(cases):
                found[f"{rows} at {sample}"].append(_in_process(rows, sample, options.samples, file))
    table = {
        name: {key: statistics.median(each[key] for each in rounds) for key in rounds[0]}
        for name, rounds in found.items()
    }
    ratio = table[f"sorted at {options.resume}"]["seconds"] / table[f"strided at {options.resume}"]["seconds"]
    print(json.dumps({"samples": options.samples, **table, "ratio_sorted_over_strided": ratio}))


def _in_process(rows: str, sample: int, samples: int, file: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.plan_start", "--case", rows, str(sample)]
    command += ["--samples", str(samples), "--file", str(file)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def write_rows(path: Path, samples: int) -> None:
    """Every second number, `samples` of them, written in pieces."""
    rows = np.lib.format.open_memmap(path, mode="w+", dtype=np.int64, shape=(samples,))
    for start in range(0, samples, 1 << 22):
        stop = min(start + (1 << 22), samples)
        rows[start:stop] = np.arange(2 * start, 2 * stop, 2)
    rows.flush()


def measure(kind: str, samples: int, sample: int, file: Path) -> dict[str, float]:
    """Seconds, peak MB, and for plans microseconds of a batch of 256."""
    tracemalloc.start()
    started = time.perf_counter()
    if kind == "sorted":
        return _measure_sort(samples // SORT_SHARE, sample // SORT_SHARE)
    rows: Rows = RangeRows(0, samples) if kind == "range" else rows_of(np.load(file, mmap_mode="r"))
    plan = Plan(rows, batch_size=BATCH, seed=0)
    plan.batch(0, sample // BATCH)
    seconds, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    started = time.perf_counter()
    for step in range(1000):
        plan.batch(0, (sample // BATCH + step) % plan.steps_per_epoch)
    return {"seconds": seconds, "peak_mb": peak / 1e6, "batch_us": (time.perf_counter() - started) * 1000}


def _measure_sort(samples: int, sample: int) -> dict[str, float]:
    keys = np.random.default_rng(0).integers(0, 1 << 62, samples)
    started = time.perf_counter()
    order = np.argsort(keys, kind="stable")
    order[sample : sample + BATCH].sum()
    seconds, peak = time.perf_counter() - started, tracemalloc.get_traced_memory()[1]
    return {"seconds": SORT_SHARE * seconds, "peak_mb": SORT_SHARE * peak / 1e6}


if __name__ == "__main__":
    main()
