"""Retrieval of n embeddings among n: R@k alone, and with mAP and mINP; CPU seconds and memory beyond the embeddings.

    python -m tests.benchmarks.retrieval_scale [--samples 10000 30000 100000] [--dim 128] [--matches 10] [--threads 1]

Embeddings are `matches` noisy copies of each of n / matches directions, a tenth of them of the query's session. Every
case runs in a process of its own. CPU seconds are of all threads together, so that they mean something on a busy
machine: on free cores, `--threads` bring the wall clock of the products down, and nothing else. Time grows with the
square of n. Linux only. Prints a table.
"""

import argparse
import json
import resource
import subprocess
import sys
import time

import numpy as np

from pipeline.evaluate.retrieval import Relevance, first_ranks, retrieve
from pipeline.evaluate.similarity import Cosine


def main() -> None:
    """Run every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 30_000, 100_000])
    parser.add_argument("--dim", type=int, default=128)
    parser.add_argument("--matches", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--measure", choices=["recall", "ranking"], help="measure one case, here")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(measure(options.measure, options.samples[0], options.dim, options.matches)))
        return
    print(f"{'samples':>9} {'figures':>12} {'CPU s':>8} {'wall s':>8} {'MiB':>7} {'R@1':>7} {'mAP':>7} {'mINP':>7}")
    for samples in options.samples:
        for kind in ("recall", "ranking"):
            given = ["--measure", kind, "--samples", str(samples), "--dim", str(options.dim)]
            command = [sys.executable, "-m", __spec__.name, *given, "--matches", str(options.matches)]
            environment = {"OMP_NUM_THREADS": str(options.threads), "PYTHONPATH": "."}
            done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
            found = json.loads(done.stdout)
            figures = " ".join(f"{found[name]:7.4f}" if name in found else " " * 7 for name in ("R@1", "mAP", "mINP"))
            costs = f"{found['cpu']:8.1f} {found['wall']:8.1f} {found['mib']:7.0f}"
            print(f"{samples:>9} {'R@k' if kind == 'recall' else 'mAP, mINP':>12} {costs} {figures}", flush=True)


def measure(kind: str, samples: int, dim: int, matches: int) -> dict[str, float]:
    """Seconds, memory and what was found."""
    rng = np.random.default_rng(0)
    ids = np.arange(samples) // matches
    x = rng.normal(size=(ids[-1] + 1, dim)).astype(np.float32)[ids]
    x += 1.5 * rng.normal(size=x.shape).astype(np.float32)
    sessions = ids * matches + rng.integers(0, matches, samples)
    relevance = Relevance(ids, ids, ((np.arange(samples), np.arange(samples)), (sessions, sessions)))
    before = _peak_mib()
    cpu, wall = time.process_time(), time.perf_counter()
    figures: dict[str, float] = {}
    if kind == "recall":
        ranks = first_ranks(Cosine(x, x), relevance)
        figures["R@1"] = float((ranks[ranks > 0] == 1).mean())
    else:
        found = retrieve(Cosine(x, x), relevance)
        figures = {"R@1": found.recall(1), "mAP": found.mean_average_precision, "mINP": found.mean_inverse_penalty}
    costs = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall, "mib": _peak_mib() - before}
    return {**costs, **figures}


def _peak_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
