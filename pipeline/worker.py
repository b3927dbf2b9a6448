"""The one file that knows torch.distributed: what a training worker needs from its peers.

Canonical order: a global batch is `num_micro` micro-batches; rank r owns a contiguous block of them. Everything that
is gathered comes back ordered by micro-batch, so no result depends on the number of workers.
"""

from collections.abc import Sequence
from typing import Protocol

import torch
import torch.distributed as dist
from torch import Tensor


def owned_micro_batches(num_micro: int, rank: int, world: int) -> range:
    """Micro-batches of a rank: contiguous, sizes differ by at most one (4 over 3 ranks: 2 + 1 + 1).

    >>> [list(owned_micro_batches(4, rank, 3)) for rank in range(3)]
    [[0, 1], [2], [3]]
    """
    base, extra = divmod(num_micro, world)
    start = rank * base + min(rank, extra)
    return range(start, start + base + (rank < extra))


class Worker(Protocol):
    """One of `world` equal workers."""

    rank: int
    world: int

    def gather(self, parts: Sequence[Tensor], num_micro: int) -> list[Tensor]:
        """All `num_micro` equally shaped parts in canonical order, detached, from the parts this rank owns."""
        ...

    def sum_fast(self, total: Tensor) -> Tensor:
        """Sum of one tensor over ranks in any order (all-reduce)."""
        ...

    def agree(self, text: str) -> str:
        """Rank 0's text, on every rank."""
        ...

    def barrier(self) -> None: ...


def from_every_rank(worker: Worker, own: Tensor) -> Tensor:
    """The tensors of all ranks, stacked (world, ...). Collective."""
    return torch.stack(worker.gather([own], worker.world))


class SingleWorker:
    """The only worker: no process group."""

    rank, world = 0, 1

    def gather(self, parts: Sequence[Tensor], num_micro: int) -> list[Tensor]:
        if len(parts) != num_micro:
            raise ValueError(f"a single worker owns all {num_micro} micro-batches, got {len(parts)}")
        return [part.detach() for part in parts]

    def sum_fast(self, total: Tensor) -> Tensor:
        return total

    def agree(self, text: str) -> str:
        return text

    def barrier(self) -> None:
        return


class GroupWorker:
    """A rank of the initialised default process group (gloo on CPU, NCCL on GPU)."""

    def __init__(self) -> None:
        self.rank, self.world = dist.get_rank(), dist.get_world_size()

    def gather(self, parts: Sequence[Tensor], num_micro: int) -> list[Tensor]:
        most = len(owned_micro_batches(num_micro, 0, self.world))
        mine = torch.stack([part.detach() for part in parts]).contiguous()
        if len(parts) < most:  # collectives need equal shapes
            mine = torch.cat([mine, mine.new_zeros(most - len(parts), *mine.shape[1:])])
        everyone = [torch.empty_like(mine) for _ in range(self.world)]
        dist.all_gather(everyone, mine)
        counts = [len(owned_micro_batches(num_micro, rank, self.world)) for rank in range(self.world)]
        return [block[i] for block, count in zip(everyone, counts, strict=True) for i in range(count)]

    def sum_fast(self, total: Tensor) -> Tensor:
        dist.all_reduce(total)
        return total

    def agree(self, text: str) -> str:
        box: list[object] = [text if self.rank == 0 else None]
        dist.broadcast_object_list(box, src=0)
        return str(box[0])

    def barrier(self) -> None:
        dist.barrier()
