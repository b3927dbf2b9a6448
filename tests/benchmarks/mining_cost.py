"""What a step of mining costs beside the encoder it serves, and that it does not grow with the number of samples.

    python -m tests.benchmarks.mining_cost [--samples 10000 10000000] [--steps 60]

Mining is everything the memory adds to a step at batch 512, d = 128: 4096 candidates and a positive per anchor from the
bank, their masks, the similarities of the inter-sample loss forward and backward, then writing 512 rows, relabelling
them against all centroids, running sums, and every tenth step the refresh with the repair of small clusters. The
encoder is that of jobs/recipes/uci_har.yaml, two views of 512 windows forward and backward under bfloat16 autocast,
without its projector, loss and optimiser. Both take turns on one thread. Rows lie around as many directions as there
are clusters (one per 128 samples, at most 16384) in float16; a tenth of the written rows has moved to another one.
Goals: 10 % of the encoder's time at 10^4 samples, 20 % at 10^7. Prints one JSON line; seconds are means over steps.

Two costs do follow the number of samples but come seldom, and are timed apart: `snapshot`, the list of members that is
made anew once 5 % of all labels have changed (`ratio_all_change` adds its share for a model that moves every row it
sees), and `repair`, of one small cluster, at a refresh that finds one.
"""

import argparse
import json
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from jobs.configs import Recipe
from modalities.sensor.codec import SensorCodec, SensorSchema
from modalities.sensor.stream import SensorStream
from modalities.spec import Signal
from pipeline.config import load_config
from pipeline.data.rows import RangeRows
from pipeline.memory.bank import PART
from pipeline.memory.config import ClustersConfig, MemoryConfig
from pipeline.memory.members import STALE_SHARE
from pipeline.memory.memory import Memory
from pipeline.memory.runtime import Runtime
from pipeline.types import Mined
from pipeline.worker import SingleWorker

RECIPE = Path(__file__).parents[2] / "jobs" / "recipes" / "uci_har.yaml"
BATCH, DIM, MOST_CLUSTERS, TEMPERATURE, NOISE = 512, 128, 16384, 0.2, 0.05


def main() -> None:
    """Time every size and print the line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--samples", type=int, nargs="+", default=[10_000, 10_000_000])
    parser.add_argument("--steps", type=int, default=60)
    options = parser.parse_args()
    torch.set_num_threads(1)
    encoder = encoder_step()
    print(json.dumps({str(samples): measure(samples, options.steps, encoder) for samples in options.samples}))


def encoder_step() -> Callable[[], None]:
    """Two views of a batch through the recipe's encoder, forward and backward."""
    recipe = load_config(Recipe, RECIPE)
    stream, ingest = recipe.streams["imu"], recipe.data.ingest
    assert isinstance(stream, SensorStream)
    assert ingest is not None
    schema = getattr(ingest, "schemas")["imu"]  # noqa: B009 - the union's other members have none
    assert isinstance(schema, SensorSchema)
    values = torch.randn(2 * BATCH, len(schema.channels), schema.max_steps)
    codec = SensorCodec(schema)
    module = stream.modality(schema, codec.statistics([codec.encode(row.numpy()) for row in values[:8]])).encoder
    signal = Signal(values, None, torch.ones(2 * BATCH, dtype=torch.bool))

    def step() -> None:
        with torch.autocast("cpu", torch.bfloat16):
            pooled = module(signal).pooled
        pooled.float().square().mean().backward()
        module.zero_grad()

    return step


class Samples:
    """Rows around directions, and a memory that knows them."""

    def __init__(self, num: int) -> None:
        self.num, self.clusters = num, min(MOST_CLUSTERS, round(num / 128))
        self.generator = torch.Generator().manual_seed(0)
        self.directions = functional.normalize(torch.randn(self.clusters, DIM, generator=self.generator), dim=1)
        self.which = torch.randint(self.clusters, (num,), generator=self.generator, dtype=torch.int32)
        config = MemoryConfig(dtype="float16", clusters=ClustersConfig(num=(self.clusters,)))
        start = np.arange(num) % 100 * 10
        spans = np.stack([np.arange(num) // 100, start, start + 20], axis=1)
        runtime = Runtime(SingleWorker(), seed=0)
        self.memory = Memory(config, RangeRows(0, num), streams=("imu",), dim=DIM, spans=spans, runtime=runtime)
        space = self.memory.spaces["imu"]
        space.bank.load_blocks(self._part)
        space.granularities[0].adopt(self.which.clone(), self.clusters, smallest=max(2, num // self.clusters // 6))

    def rows(self, which: Tensor) -> Tensor:
        """Fresh rows (K, d) of directions (K,)."""
        return self.directions[which.long()] + NOISE * torch.randn(len(which), DIM, generator=self.generator)

    def _part(self, name: str) -> dict[str, Tensor]:
        which = self.which[int(name.removeprefix("bank_")) * PART :][:PART]
        rows = functional.normalize(self.rows(which), dim=1).half()
        return {"rows": rows, "step_written": torch.zeros(len(which), dtype=torch.int32)}

    def batch(self) -> tuple[Tensor, Tensor]:
        """Distinct samples (B,) and their new rows (B, d), of which a tenth has moved."""
        idx = torch.randint(self.num, (2 * BATCH,), generator=self.generator).unique()[:BATCH]
        which = self.which[idx]
        moved = torch.rand(len(idx), generator=self.generator) < 0.1
        elsewhere = torch.randint(self.clusters, which.shape, generator=self.generator, dtype=torch.int32)
        return idx, self.rows(torch.where(moved, elsewhere, which))


def similarities(query: Tensor, mined: Mined) -> None:
    """The inter-sample loss over all negatives, forward and backward."""
    unit = functional.normalize(query, dim=1)
    negative = (unit @ mined.candidates.T / TEMPERATURE).masked_fill(~mined.different, -torch.inf)
    positive = (unit * mined.positive).sum(dim=1) / TEMPERATURE
    (torch.cat([positive[:, None], negative], dim=1).logsumexp(dim=1) - positive).mean().backward()


def seldom(samples: Samples) -> dict[str, float]:
    """Seconds of one snapshot of the members, and of a refresh after all but one have left a cluster."""
    space = samples.memory.spaces["imu"]
    labels = space.granularities[0]
    assert labels.assignment is not None
    leaving = (labels.assignment.labels == 0).nonzero().squeeze(1)[1:]
    rows = space.bank.fetch(leaving)
    labels.assignment.relabel(leaving, rows, rows, torch.ones_like(leaving))
    moments = [time.perf_counter()]
    labels.assignment.snapshot()
    moments.append(time.perf_counter())
    labels.refresh()
    moments.append(time.perf_counter())
    return {"snapshot": moments[1] - moments[0], "repair": moments[2] - moments[1]}


def measure(num: int, steps: int, encoder: Callable[[], None]) -> dict[str, float]:
    """Mean seconds of both and of the parts of mining, and the ratio."""
    samples, memory_parts = Samples(num), {"mine": 0.0, "similarities": 0.0, "after_step": 0.0, "encoder": 0.0}
    here = {"imu": torch.ones(BATCH, dtype=torch.bool)}
    for step in range(-10, steps):  # the first ten warm up
        idx, rows = samples.batch()
        query = rows.clone().requires_grad_()
        moments = [time.perf_counter()]
        mined = samples.memory.mine("imu", idx, step=step + 10)
        moments.append(time.perf_counter())
        similarities(query, mined)
        moments.append(time.perf_counter())
        samples.memory.after_step(idx, {"imu": rows}, here, step=step + 10, epoch_ended=False)
        moments.append(time.perf_counter())
        encoder()
        moments.append(time.perf_counter())
        if step >= 0:
            for name, before, after in zip(memory_parts, moments, moments[1:], strict=False):
                memory_parts[name] += (after - before) / steps
    mining = sum(memory_parts.values()) - memory_parts["encoder"]
    figures = samples.memory.diagnostics()
    rare = seldom(samples)
    worst = mining + rare["snapshot"] * BATCH / (STALE_SHARE * num)
    found = {name: round(value, 5) for name, value in (memory_parts | rare).items()}
    changed = {name: figures[f"imu/{name}"] for name in ("clusters", "change_ratio", "repairs")}
    ratios = {"ratio": mining / memory_parts["encoder"], "ratio_all_change": worst / memory_parts["encoder"]}
    return {**found, **changed, **{name: round(value, 4) for name, value in ratios.items()}}


if __name__ == "__main__":
    main()
