"""Tiled InfoNCE beside the dense form: time of forward and backward where both fit, peak memory where only tiles do.

    python -m tests.benchmarks.tiled_info_nce [--batch 4096] [--rounds 5] [--large 65536]

Times are interleaved, of one thread, in one process. Memory is that of a process of its own for each objective and
size: the highest resident size during forward and backward minus the resident size before. Prints one JSON line.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from pipeline.objectives.cross import CrossModal
from pipeline.objectives.info_nce import info_nce
from pipeline.objectives.intra import IntraSample
from pipeline.objectives.repel import Entries, Repel
from pipeline.types import Embeddings
from tests.references import dense_info_nce

DIM, TEMPERATURE = 128, 0.1


def main() -> None:
    """Run both parts, print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batch", type=int, default=4096)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--large", type=int, default=65_536)
    parser.add_argument("--measure", choices=["cross", "intra"], help="measure the memory of one objective, here")
    options = parser.parse_args()
    if options.measure:
        print(json.dumps(extra_memory(options.measure, options.large)))
        return
    found = compare(options.batch, options.rounds)
    for kind in ("cross", "intra"):
        command = [sys.executable, "-m", __spec__.name, "--measure", kind, "--large", str(options.large)]
        found |= json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    print(json.dumps(found))


def compare(batch: int, rounds: int) -> dict[str, float]:
    """Median seconds of each form and their ratio, with equal content, absent samples and (for both) a mean."""
    torch.set_num_threads(1)
    generator = torch.Generator().manual_seed(0)
    z, c = (torch.randn(batch, DIM, generator=generator).requires_grad_() for _ in range(2))
    present, content = torch.rand(batch, generator=generator) < 0.95, torch.arange(batch) % (batch - batch // 100)
    rows = torch.arange(batch)

    def dense() -> Tensor:
        allowed = (present & (content[:, None] != content)) | torch.eye(batch, dtype=torch.bool)
        return dense_info_nce(z, c, rows, allowed=allowed, temperature=TEMPERATURE)

    def tiled() -> Tensor:
        entries = Entries(present, content[:, None])
        return info_nce(z, c, rows, repel=Repel(entries, entries), temperature=TEMPERATURE)

    sides: dict[str, Callable[[], Tensor]] = {"dense": dense, "tiled": tiled}
    assert torch.allclose(dense(), tiled(), atol=1e-4)
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(rounds):
        for side, run in sides.items():
            started = time.process_time()
            torch.autograd.grad(run().mean(), (z, c))
            seconds[side].append(time.process_time() - started)
    middle = {f"{side}_s": round(statistics.median(found), 4) for side, found in seconds.items()}
    pairs = zip(seconds["tiled"], seconds["dense"], strict=True)
    return middle | {"batch": batch, "tiled/dense": round(statistics.median(a / b for a, b in pairs), 3)}


def extra_memory(kind: str, batch: int) -> dict[str, float]:
    """MiB above the inputs at the highest point of forward and backward, and the CPU seconds they took."""
    torch.set_num_threads(1)
    streams = ["a", "b"] if kind == "cross" else ["a"]
    objective = (CrossModal() if kind == "cross" else IntraSample()).build(streams)
    objective(_batch(streams, 64)).total().backward()  # libraries are loaded and threads started
    found = _batch(streams, batch)
    before, started = _status_mib("VmRSS"), time.process_time()
    objective(found).total().backward()
    peak = _status_mib("VmHWM")
    return {
        f"{kind}_{batch}_extra_mib": round(peak - before),
        f"{kind}_{batch}_s": round(time.process_time() - started),
    }


def _batch(streams: list[str], size: int) -> Embeddings:
    """Two views of one stream or one view of two."""
    return Embeddings(
        torch.arange(size),
        {name: torch.randn(3 - len(streams), size, DIM).requires_grad_() for name in streams},
        {name: torch.ones(size, dtype=torch.bool) for name in streams},
        {name: torch.arange(size) for name in streams},
    )


def _status_mib(name: str) -> float:
    """Resident memory of this process, now (VmRSS) or at its highest (VmHWM)."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) / 1024
    raise SystemExit(f"no {name} in /proc/self/status")


if __name__ == "__main__":
    main()
