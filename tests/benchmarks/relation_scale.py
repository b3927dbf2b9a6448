"""How large relations, and the first clustering of a bank, may become: time and memory as the number of samples grows.

    python -m tests.benchmarks.relation_scale [--samples 100000 1000000 10000000] [--kinds same temporal ...]
    python -m tests.benchmarks.relation_scale --kinds k_means --samples 1000000 --clusters 16384 --iterations 1

Every case runs in a process of its own on made-up metadata: recordings of 1000 windows, 10 s apart, in sessions of 100;
a subject has 20 sessions; every sample has three of 64 tags. About ten links a sample, so 10^8 at 10^7:
`same` links a session without writing links down, `temporal` ten windows either side, `edges` a Parquet file of ten
random pairs a sample, `meta_path` the ten most similar samples by common tags. `peak` is resident memory beyond the
index, `kept` the bytes of the relation for each link (counted once), `draw` a neighbour for each of 512 anchors, and
`report` what `kindred relations` says of it. `k_means` clusters float16 rows of d = 128 around as many directions as
there are clusters; seconds are those of one iteration, its assignment and its sums. One thread, whose seconds are CPU
time, so that they mean something on a busy machine; Linux only. Prints a table.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from torch.nn import functional

from pipeline.data.index import Index
from pipeline.data.rows import rows_of
from pipeline.memory.bank import PART, FeatureBank
from pipeline.memory.k_means import spherical_k_means
from pipeline.memory.runtime import Runtime
from pipeline.relations.build import build_relation
from pipeline.relations.cliques import Cliques
from pipeline.relations.config import AnyRelation, EdgesRelation, MetaPathRelation, SameRelation, TemporalRelation
from pipeline.relations.edges import Edges
from pipeline.relations.neighbours import Neighbours
from pipeline.relations.report import relation_report
from pipeline.relations.samples import Samples
from pipeline.worker import SingleWorker

RELATIONS: dict[str, AnyRelation] = {
    "same": SameRelation(column="session"),
    "temporal": TemporalRelation(within_s=100),
    "edges": EdgesRelation(path="links.parquet"),
    "meta_path": MetaPathRelation(path=("tags",), separator=";", top=10),
}
PAIRS, ANCHORS, DRAWS, TAGS, CLASSES, DIM = 10, 512, 200, 64, 12, 128
_PIECE = 1 << 20
Figures = dict[str, float]
Result = TypeVar("Result")


def main() -> None:
    """Run every case and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--kinds", nargs="+", choices=[*RELATIONS, "k_means"], default=list(RELATIONS))
    parser.add_argument("--clusters", type=int, default=16_384)
    parser.add_argument("--iterations", type=int, default=1)
    parser.add_argument("--build-only", action="store_true", help="without the report, which takes most of the time")
    parser.add_argument("--case", action="store_true", help="measure the one case in this process")
    options = parser.parse_args()
    if options.case:
        torch.set_num_threads(1)
        clustering = options.kinds[0] == "k_means"
        measured = k_means(options) if clustering else relation(options)
        print(json.dumps(measured))
        return
    for kind in options.kinds:
        for number, samples in enumerate(options.samples):
            found = _in_process(kind, samples, options)
            if number == 0:
                print(" ".join(f"{name:>12}" for name in ("kind", "samples", *found)))
            print(f"{kind:>12} {samples:>12}", *(f"{value:>12.5g}" for value in found.values()), flush=True)


def _in_process(kind: str, samples: int, options: argparse.Namespace) -> Figures:
    command = [sys.executable, "-m", "tests.benchmarks.relation_scale", "--case", "--kinds", kind]
    command += ["--samples", str(samples), "--clusters", str(options.clusters)]
    command += ["--iterations", str(options.iterations)]
    command += ["--build-only"] if options.build_only else []
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def relation(options: argparse.Namespace) -> Figures:
    """Build one relation, draw from it, report on it."""
    kind, count = options.kinds[0], options.samples[0]
    index, config = made_up_index(count), RELATIONS[kind]
    rows = rows_of(index.rows("train"))
    with tempfile.TemporaryDirectory(prefix="kindred-bench-") as folder:
        if isinstance(config, EdgesRelation):
            write_pairs(Path(folder) / config.path, index.key)
        built, build_s, peak = measured(lambda: build_relation(kind, config, index, rows, folder=Path(folder)))
    graph = built.relation
    neighbours, generator = Neighbours(graph, rows, seed=0), np.random.default_rng(0)
    neighbours(np.arange(ANCHORS), 0)  # what is worked out once a run
    anchors = [generator.choice(count, ANCHORS, replace=False) for _ in range(5)]
    started = time.process_time()
    for step in range(DRAWS):
        neighbours(anchors[step % len(anchors)], step)
    draw_ms = (time.process_time() - started) * 1000 / DRAWS
    links = graph.num_links // 2
    found = {
        "links": links,
        "build_s": build_s,
        "peak_mib": peak,
        "peak_b/link": peak * (1 << 20) / links,
        "kept_b/link": kept_bytes(graph) / links,
        "draw_ms": draw_ms,
    }
    if not options.build_only:
        _, found["report_s"], found["report_mib"] = measured(
            lambda: relation_report(config, built, Samples(kind, index, rows))
        )
    return found


def measured(work: Callable[[], Result]) -> tuple[Result, float, float]:
    """The result, CPU seconds, and MiB of resident memory at the peak beyond what there was before."""
    Path("/proc/self/clear_refs").write_text("5")  # the peak starts anew
    before, started = psutil.Process().memory_info().rss, time.process_time()
    result = work()
    seconds = time.process_time() - started
    status = Path("/proc/self/status").read_text()
    peak = next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmHWM"))
    return result, seconds, (peak - before) / (1 << 20)


def kept_bytes(graph: Cliques | Edges) -> int:
    """Of the arrays that stay."""
    if isinstance(graph, Edges):
        return graph.indptr.nbytes + graph.indices.nbytes + graph.weights.nbytes
    cell = 0 if graph.cell is None else graph.cell.nbytes
    return graph.group.nbytes + cell + graph.members.nbytes + graph.place.nbytes


def made_up_index(count: int) -> Index:
    """Recordings, sessions, subjects, tags and a label that follows the session in half of its samples."""
    number, generator = np.arange(count), np.random.default_rng(0)
    none = np.zeros(count, np.int64)
    start = number % 1000 * 10 * 10**9
    own = generator.integers(0, CLASSES, count)
    tags = np.array([f"t{tag:02d}" for tag in range(TAGS)])
    first, second, third = (generator.integers(0, TAGS, count) for _ in range(3))
    several = tags[first]
    for other in (second, third):
        several = np.strings.add(several, np.strings.add(";", tags[other]))
    return Index(
        key=numbered(number),
        shard=none,
        record=number // 1000,
        window=number % 1000,
        start_ns=start,
        end_ns=start + 10**10,
        split=np.full(count, "train"),
        streams={},
        groups={"session": numbered(number // 100), "subject": numbered(number // 2000), "tags": several},
        classes={"activity": np.where(generator.random(count) < 0.5, number // 100 % CLASSES, own)},
    )


def numbered(numbers: np.ndarray) -> np.ndarray:
    """Texts (n,) of eight digits."""
    digits = numbers[:, None] // 10 ** np.arange(7, -1, -1) % 10
    return (digits + ord("0")).astype(np.uint32).view("U8").ravel()


def write_pairs(path: Path, key: np.ndarray) -> None:
    """An edge list of random pairs, PAIRS a sample."""
    generator, keys = np.random.default_rng(0), pa.array(key, pa.string())
    schema = pa.schema({"source": pa.string(), "target": pa.string()})
    with pq.ParquetWriter(path, schema) as file:
        for low in range(0, PAIRS * len(key), _PIECE):
            size = min(_PIECE, PAIRS * len(key) - low)
            ends = [keys.take(pa.array(generator.integers(0, len(key), size))) for _ in range(2)]
            file.write_table(pa.table(ends, schema=schema))


def k_means(options: argparse.Namespace) -> Figures:
    """Time iterations of the clustering of a whole bank."""
    count, clusters = options.samples[0], options.clusters
    bank = FeatureBank(count, DIM, dtype=torch.float16, momentum=1.0, runtime=Runtime(SingleWorker(), seed=0))
    generator = torch.Generator().manual_seed(0)
    directions = functional.normalize(torch.randn(clusters, DIM, generator=generator), dim=1)

    def part(name: str) -> dict[str, torch.Tensor]:
        size = min(PART, count - int(name.removeprefix("bank_")) * PART)
        which = torch.randint(clusters, (size,), generator=generator)
        rows = directions[which] + 0.05 * torch.randn(size, DIM, generator=generator)
        return {"rows": functional.normalize(rows, dim=1).half(), "step_written": torch.zeros(size, dtype=torch.int32)}

    bank.load_blocks(part)
    seconds = {}
    for iterations in (0, options.iterations):  # none is the first directions and one assignment
        _, seconds[iterations], peak = measured(
            lambda n=iterations: spherical_k_means(bank, clusters, iterations=n, key=0)
        )
    per_iteration = (seconds[options.iterations] - seconds[0]) / options.iterations
    return {
        "clusters": clusters,
        "start_s": seconds[0],
        "iteration_s": per_iteration,
        "gflop/s": 2 * count * clusters * DIM / per_iteration / 1e9,
        "bank_mib": bank.rows.nbytes / (1 << 20),
        "peak_mib": peak,
    }


if __name__ == "__main__":
    main()
