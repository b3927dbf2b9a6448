"""Megabytes a second of verification beside plain sha256 over the same bytes, interleaved, one process.

python -m tests.benchmarks.verify_speed [--samples 20000] [--rounds 3]
"""

import argparse
import hashlib
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch

from pipeline.data.verify import verify_dataset
from tests.benchmarks.trimodal import open_trimodal, write_trimodal


def main() -> None:
    """Write the data, run the rounds, print one JSON line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, default=20_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(prefix="kindred-bench-") as temporary:
        folder = write_trimodal(Path(temporary), num_samples=options.samples, shard_mib=16)
        reader = open_trimodal(folder)
        files = [folder / "shards" / entry.name for entry in reader.manifest.shards]
        size = sum(entry.bytes for entry in reader.manifest.shards) / 1e6
        sides: dict[str, Callable[[], object]] = {
            "sha256": lambda: [hashlib.sha256(path.read_bytes()).digest() for path in files],
            "hashes": lambda: verify_dataset(folder, reader.manifest),
            "full": lambda: verify_dataset(folder, reader.manifest, reader.codecs),
        }
        rates: dict[str, list[float]] = {side: [] for side in sides}
        for _ in range(options.rounds):
            for side, run in sides.items():
                started = time.process_time()  # per core: waiting for other programs is not counted
                run()
                rates[side].append(size / (time.process_time() - started))
    middle = {side: statistics.median(found) for side, found in rates.items()}
    ratios = {f"{side}/sha256": round(middle[side] / middle["sha256"], 3) for side in ("hashes", "full")}
    print(json.dumps({"mb": round(size), "mb_per_s": {side: round(rate) for side, rate in middle.items()}} | ratios))


if __name__ == "__main__":
    main()
