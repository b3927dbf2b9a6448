"""One unit row per sample, in canonical blocks that are dealt to the workers.

Block b holds rows b * BLOCK ... and lives on worker b % world. A fetch adds the owned rows of one worker to zeros of
the others, which is exact, so every worker reads the same bits whatever their number. Positions are 0..n-1.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.errors import CheckpointError
from pipeline.memory.runtime import Runtime

BLOCK = 4096
PART = 16 * BLOCK
"""Rows of one checkpoint part."""
_NO_DIRECTION = 1e-6


@dataclass(frozen=True)
class Written:
    """What a write changed: positions (P,) int64, distinct and ascending; rows before (zeros if none) and after."""

    positions: Tensor
    old: Tensor
    new: Tensor


class FeatureBank:
    """Rows (n, d), of which this worker holds its blocks; `valid` (n,) bool and `step_written` (n,) int32 are whole."""

    def __init__(self, num_rows: int, dim: int, *, dtype: torch.dtype, momentum: float, runtime: Runtime) -> None:
        worker, device = runtime.worker, runtime.device
        self.num_rows, self.dim, self.momentum, self.worker = num_rows, dim, momentum, worker
        self.compute = torch.float64 if dtype == torch.float64 else torch.float32
        self.blocks = range(worker.rank, -(-num_rows // BLOCK), worker.world)
        size = num_rows if worker.world == 1 else len(self.blocks) * BLOCK
        self.rows = torch.zeros(size, dim, dtype=dtype, device=device)
        self.valid = torch.zeros(num_rows, dtype=torch.bool, device=device)
        self.step_written = torch.full((num_rows,), -1, dtype=torch.int32, device=device)
        self.num_valid = 0
        self._sum_of_steps = 0

    def _owned(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """Which positions (K,) this worker holds, and where in `rows` those lie."""
        block = positions // BLOCK
        own = (block % self.worker.world == self.worker.rank).nonzero().squeeze(1)
        return own, block[own] // self.worker.world * BLOCK + positions[own] % BLOCK

    def fetch(self, positions: Tensor) -> Tensor:
        """Rows (K, d) of positions (K,) in float32, zeros where never written. Collective."""
        if self.worker.world == 1:
            return self.rows[positions].to(self.compute)
        found = torch.zeros(len(positions), self.dim, dtype=self.compute, device=self.rows.device)
        own, local = self._owned(positions)
        found[own] = self.rows[local].to(self.compute)
        return self.worker.sum_fast(found)

    def write(self, positions: Tensor, rows: Tensor, step: int) -> Written:
        """v <- normalize((1 - w) v + w row), w = `momentum`, rounded to the stored precision. Collective.

        positions (K,), rows (K, d) of any length. The last of equal positions wins. A row that was never written, or
        that the sum leaves without a direction, takes the new row itself.
        """
        last = _last_of_equals(positions)
        positions, fresh = positions[last], functional.normalize(rows[last].detach().to(self.compute), dim=1)
        old, seen, new = self.fetch(positions), self.valid[positions], fresh
        if self.momentum < 1:
            mixed = torch.lerp(old, fresh, self.momentum)
            keep = seen & (mixed.norm(dim=1) > _NO_DIRECTION)
            new = torch.where(keep[:, None], functional.normalize(mixed, dim=1), fresh)
        stored = new.to(self.rows.dtype) + 0.0  # no -0.0, which adding zeros would not give back
        self._store(positions, stored)
        before = torch.where(seen, self.step_written[positions].long(), 0).sum()
        self._sum_of_steps += step * len(positions) - int(before)
        self.num_valid += len(positions) - int(seen.sum())
        self.valid[positions] = True
        self.step_written[positions] = step
        return Written(positions, old, stored.to(self.compute))

    def _store(self, positions: Tensor, rows: Tensor) -> None:
        own, local = self._owned(positions)
        self.rows[local] = rows[own].to(self.rows)

    def own_blocks(self) -> Iterator[tuple[int, Tensor, Tensor]]:
        """First position, rows (b, d) in float32 and valid (b,) of every block this worker holds; b = BLOCK or less."""
        for number, block in enumerate(self.blocks):
            start = block * BLOCK
            size = min(BLOCK, self.num_rows - start)
            local = number * BLOCK
            yield start, self.rows[local : local + size].to(self.compute), self.valid[start : start + size]

    def mean_age(self, step: int) -> float:
        """Mean number of steps since a valid row was written."""
        return step - self._sum_of_steps / self.num_valid if self.num_valid else 0.0

    def state_blocks(self) -> Iterator[tuple[str, dict[str, Tensor]]]:
        """Checkpoint parts "bank_00012", the same on every worker. Collective: every worker takes all of them."""
        for number, start in enumerate(range(0, self.num_rows, PART)):
            positions = torch.arange(start, min(start + PART, self.num_rows), device=self.rows.device)
            part = slice(start, start + len(positions))
            rows = self.fetch(positions).to(self.rows.dtype)
            yield f"bank_{number:05d}", {"rows": rows, "step_written": self.step_written[part]}

    def load_blocks(self, read: Callable[[str], Mapping[str, Tensor]]) -> None:
        """Take over the parts of `state_blocks` of any number of workers. Raises CheckpointError where one differs."""
        for number, start in enumerate(range(0, self.num_rows, PART)):
            name, size = f"bank_{number:05d}", min(PART, self.num_rows - start)
            part = read(name)
            got = tuple(part["rows"].shape)
            if got != (size, self.dim):
                raise CheckpointError(
                    f"the checkpoint's {name} does not fit the memory",
                    code="CKPT_INCOMPATIBLE",
                    field=name,
                    expected=(size, self.dim),
                    got=got,
                    fix="use the data and configuration it was trained with, or start anew with --fork NAME",
                )
            positions = torch.arange(start, start + size, device=self.rows.device)
            self._store(positions, part["rows"].to(self.rows.device))
            self.step_written[positions] = part["step_written"].to(self.rows.device)
        self.valid = self.step_written >= 0
        self.num_valid = int(self.valid.sum())
        self._sum_of_steps = int(self.step_written.clamp(min=0).sum(dtype=torch.int64))


def _last_of_equals(values: Tensor) -> Tensor:
    """Where the last of each distinct value (K,) stands, in ascending order of the values."""
    ordered, order = values.sort(stable=True)
    last = torch.ones(len(values), dtype=torch.bool, device=values.device)
    last[:-1] = ordered[1:] != ordered[:-1]
    return order[last]
