"""What a pretraining run will need, checked in seconds before its first step; every lack is reported at once."""

import os
import resource
import shutil
import socket
import tempfile
from dataclasses import dataclass
from pathlib import Path

import psutil
import torch

from jobs._ray_start import OBJECT_STORE_BYTES
from jobs.assemble import Dataset
from jobs.configs import PretrainConfig
from pipeline.data.read_ahead import MOST_BATCHES_AHEAD
from pipeline.errors import DataError, EnvironmentFault, KindredError, OutputError, Problems, StorageError
from pipeline.train.activations import activation_bytes
from pipeline.train.kept_memory import KeptMemory
from pipeline.train.task import Task

CHECKPOINTS_ON_DISK = 3  # two kept, one being written
_SHARED_MEMORY = Path("/dev/shm")  # noqa: S108 - the kernel's name, not a temporary file
_CGROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_LOOPBACK = "127.0.0.1"
_OTHER_DESCRIPTORS = 64  # of a process beside its shards: checkpoint, ledger, spool, sockets, libraries
_PROCESS_BYTES = (1100 if torch.backends.cuda.is_built() else 600) << 20
"""Interpreter, torch and Ray of one worker. Measured for a tiny model: 1000 to 1100 and 610 to 640 MiB; torch's build
for CUDA loads its libraries where there is no GPU too."""
_TRIED_SAMPLES = 16


@dataclass(frozen=True)
class Needs:
    """Bytes that a run takes, estimated from its model and batches."""

    checkpoint: int
    memory: int


def preflight(task: Task, dataset: Dataset, config: PretrainConfig, folder: Path) -> Needs:
    """Check shards, run folder, disk, memory and shared memory. Raises Problems that name each lack and its fix."""
    if problems := [*_damaged_shards(dataset), *_unwritable(folder)]:
        raise Problems(problems)
    needs = estimate(task, dataset, config)
    problems = _lacking_space(folder, needs.checkpoint * CHECKPOINTS_ON_DISK)
    problems += _lacking_memory(needs.memory, available_memory())
    problems += _lacking_descriptors(min(dataset.source.max_open, len(dataset.manifest.shards)) + _OTHER_DESCRIPTORS)
    if config.workers > 0:
        problems += _lacking_shared_memory(shutil.disk_usage(_SHARED_MEMORY).free)
        problems += _lacking_loopback()
    if problems:
        raise Problems(problems)
    return needs


def estimate(task: Task, dataset: Dataset, config: PretrainConfig) -> Needs:
    """Weights, two Adam moments and the average on disk; in memory also gradients, activations and read-ahead."""
    weights = sum(4 * p.numel() for module in (task.module, task.objectives) for p in module.parameters())
    copies = 3 + (config.ema_decay is not None)
    world = max(1, config.workers)
    per_worker = _PROCESS_BYTES + weights * (copies + 2 + config.micro_batches // world)
    bank = _memory_bytes(task)
    batch = _bytes_of_a_batch(task, dataset, config)
    return Needs(weights * copies + bank, world * per_worker + bank + batch)


def _bytes_of_a_batch(task: Task, dataset: Dataset, config: PretrainConfig) -> int:
    """Activations of one global batch, all workers together, and the batches that are read ahead of it."""
    idx = dataset.index.rows("train")[:_TRIED_SAMPLES]
    tried = dataset.reader.batch(idx, streams=list(dataset.schemas))
    dataset.reader.close()
    readings = sum(4 * signal.values.numel() for signal in tried.signals.values()) * config.batch_size / len(idx)
    ahead = max(readings, min(MOST_BATCHES_AHEAD * readings, max(1, config.workers) * config.read_ahead_mib << 20))
    return int(activation_bytes(task, tried) * config.batch_size + ahead)


def _memory_bytes(task: Task) -> int:
    """Rows of every feature bank and queue, which all workers hold together."""
    if not isinstance(task.kept, KeptMemory):
        return 0
    memory = task.kept.memory
    banks = sum(
        space.bank.num_rows * space.bank.dim * space.bank.rows.element_size() for space in memory.spaces.values()
    )
    return banks + sum(queue.rows.nbytes for queue in memory.queues.values())


def available_memory() -> int:
    """Bytes that this machine, or this container, can still give."""
    limits = [int(text) for path in _CGROUP_LIMITS if path.exists() and (text := path.read_text().strip()).isdigit()]
    return min([psutil.virtual_memory().available, *limits])


def _damaged_shards(dataset: Dataset) -> list[KindredError]:
    problems: list[KindredError] = []
    if dataset.source.is_remote:
        return problems  # fetched and checked when needed; opening the data set has looked at the cache
    for entry in dataset.manifest.shards:
        try:
            os.close(dataset.source.open(entry))
        except DataError as error:
            problems.append(error)
    return problems


def _unwritable(folder: Path) -> list[KindredError]:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            return []
    except OSError as error:
        message = f"cannot write to {folder}: {error.strerror}"
        return [OutputError(message, code="OUT_READONLY", got=str(folder), fix="choose another out=")]


def _lacking_space(folder: Path, need: int) -> list[KindredError]:
    free = shutil.disk_usage(folder).free
    if free >= need:
        return []
    fix = f"free {_mib(need - free)} MiB at {folder}, or choose another out="
    return [_lack(StorageError, "the disk is too small for the checkpoints", "IO_NO_SPACE", need, free, fix=fix)]


def _lacking_memory(need: int, have: int) -> list[KindredError]:
    if have >= need:
        return []
    fix = "lower pretrain.batch_size or pretrain.workers, or use a smaller encoder"
    return [_lack(EnvironmentFault, "training would run out of memory", "ENV_MEMORY", need, have, fix=fix)]


def _lacking_shared_memory(free: int) -> list[KindredError]:
    if free >= OBJECT_STORE_BYTES:
        return []
    fix = "start the container with --shm-size=256m, or set pretrain.workers=0"
    message = f"{_SHARED_MEMORY} is too small for Ray's object store"
    return [_lack(EnvironmentFault, message, "ENV_SHM", OBJECT_STORE_BYTES, free, fix=fix)]


def _lacking_descriptors(need: int) -> list[KindredError]:
    have, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    if have == resource.RLIM_INFINITY or have >= need:
        return []
    message, fix = "a process may open too few files (ulimit -n)", f"ulimit -n {need}, then run the same command again"
    return [StorageError(message, code="IO_DESCRIPTORS", expected=f">= {need}", got=have, fix=fix)]


def _lacking_loopback() -> list[KindredError]:
    """Workers and Ray talk over 127.0.0.1: it must be there, and have a free port."""
    try:
        with socket.create_server((_LOOPBACK, 0)) as server:
            socket.create_connection(server.getsockname(), timeout=5).close()
    except OSError as error:
        message = f"Ray cannot listen on {_LOOPBACK} of the interface lo: {error.strerror or error}"
        fix = "bring lo up (ip link set lo up) and free some ports, or set pretrain.workers=0"
        return [EnvironmentFault(message, code="ENV_LOOPBACK", field="lo", got=_LOOPBACK, fix=fix)]
    return []


def _lack(kind: type[KindredError], message: str, code: str, need: int, have: int, *, fix: str) -> KindredError:
    return kind(message, code=code, expected=f">= {_mib(need)} MiB", got=f"{_mib(have)} MiB", fix=fix)


def _mib(size: float) -> int:
    return -(-int(size) // (1 << 20))
