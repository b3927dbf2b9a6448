"""Keys of the latest batches (MoCo, arXiv 1911.05722)."""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.errors import CheckpointError


class KeyQueue:
    """First in, first out: `size` unit rows (Q, d) float32 and the positions (Q,) of their samples."""

    def __init__(self, size: int, dim: int, device: torch.device) -> None:
        self.rows = torch.zeros(size, dim, device=device)
        self.positions = torch.full((size,), -1, dtype=torch.int64, device=device)
        self.next, self.filled = 0, 0

    def push(self, rows: Tensor, positions: Tensor) -> None:
        """Add rows (B, d) of any length in their order; of more than fit, the last."""
        size = len(self.rows)
        if size == 0:
            return
        rows, positions = rows[-size:], positions[-size:]
        slots = (torch.arange(len(rows), device=rows.device) + self.next) % size
        self.rows[slots] = functional.normalize(rows.detach().float(), dim=1)
        self.positions[slots] = positions
        self.next = (self.next + len(rows)) % size
        self.filled = min(size, self.filled + len(rows))

    def tensors(self) -> dict[str, Tensor]:
        """The state, the same on every worker."""
        return {"rows": self.rows, "positions": self.positions, "counters": torch.tensor([self.next, self.filled])}

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Inverse of `tensors`. Raises CheckpointError for a queue of another shape."""
        if tensors["rows"].shape != self.rows.shape:
            raise CheckpointError(
                "the checkpoint's queue has another shape",
                code="CKPT_INCOMPATIBLE",
                field="memory.queue",
                expected=tuple(self.rows.shape),
                got=tuple(tensors["rows"].shape),
                fix="use the configuration it was trained with, or start anew with --fork NAME",
            )
        self.rows.copy_(tensors["rows"])
        self.positions.copy_(tensors["positions"])
        self.next, self.filled = tensors["counters"].tolist()
