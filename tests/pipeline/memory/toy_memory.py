"""A memory over two streams of 9 000 samples (three blocks), and the steps that fill it."""

import hashlib
from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from pipeline.data.rows import SortedRows
from pipeline.memory.config import ClustersConfig, MemoryConfig
from pipeline.memory.memory import Memory
from pipeline.memory.runtime import Runtime
from pipeline.worker import SingleWorker, Worker
from tests.pipeline.memory.circle import blobs

NUM, DIM, BATCH, STEPS_PER_EPOCH = 9000, 8, 600, 15
ROWS = SortedRows(np.arange(NUM) * 3 + 1)
CONFIG = MemoryConfig(
    spaces="both",
    dtype="float16",
    momentum=0.7,
    queue=700,
    candidates=500,
    clusters=ClustersConfig(num=(12, 40), refresh_every=4, min_cluster=20),
)
_LATENT = blobs(NUM, 20, dim=DIM)[0]


def spans_of(num: int) -> np.ndarray:
    """Records of 30 windows of 20 ns each 10 ns; every seventh record has no times."""
    number = np.arange(num)
    start = number % 30 * 10
    table = np.stack([number // 30, start, start + 20], axis=1)
    table[number // 30 % 7 == 0, 1:] = -1
    return table


def make_memory(worker: Worker | None = None, config: MemoryConfig = CONFIG, *, seed: int = 0) -> Memory:
    runtime = Runtime(worker or SingleWorker(), seed)
    return Memory(config, ROWS, streams=("a", "b"), dim=DIM, spans=spans_of(NUM), runtime=runtime)


def batch_of(step: int) -> tuple[Tensor, dict[str, Tensor], dict[str, Tensor]]:
    """idx, rows and presence of a step; b lacks every fifth sample. The rows drift."""
    epoch, place = divmod(step, STEPS_PER_EPOCH)
    order = np.random.default_rng(epoch).permutation(NUM)[place * BATCH : (place + 1) * BATCH]
    positions = torch.from_numpy(order)
    noise = torch.randn(2, BATCH, DIM, generator=torch.Generator().manual_seed(step))
    latent = _LATENT[positions] + 0.02 * step
    rows = {"a": latent + 0.3 * noise[0], "b": latent.roll(1, dims=1) + 0.3 * noise[1]}
    present = {"a": torch.ones(BATCH, dtype=torch.bool), "b": positions % 5 != 0}
    return torch.from_numpy(ROWS.take(order)), rows, present


def run_steps(memory: Memory, steps: range) -> str:
    """Mine and learn as training does. Returns a digest of everything that was mined."""
    digest = hashlib.sha256()
    for step in steps:
        idx, rows, present = batch_of(step)
        for stream, labels, granularity in (("a", "own", 0), ("a", "b", 1), ("b", "fused", 1)):
            mined = memory.mine(stream, idx, labels=labels, granularity=granularity, step=step)
            for tensor in (mined.positive, mined.candidates, mined.different, mined.same, mined.labels):
                digest.update(tensor.numpy().tobytes())
        ended = (step + 1) % STEPS_PER_EPOCH == 0
        memory.after_step(idx, rows, present, step=step, epoch_ended=ended)
    return digest.hexdigest()


def parts_of(memory: Memory) -> dict[str, dict[str, Tensor]]:
    """The checkpoint parts, as they would come back from disk."""
    return {name: {key: tensor.clone() for key, tensor in part.items()} for name, part in memory.tensors()}


def same_bits(first: Mapping[str, Mapping[str, Tensor]], second: Mapping[str, Mapping[str, Tensor]]) -> bool:
    """Whether two checkpoints are equal in names, types and every byte."""
    return {p: list(t) for p, t in first.items()} == {p: list(t) for p, t in second.items()} and all(
        torch.equal(tensor, second[part][name]) and tensor.dtype == second[part][name].dtype
        for part, tensors in first.items()
        for name, tensor in tensors.items()
    )
