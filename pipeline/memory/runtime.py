"""What every part of the memory is told about where it runs."""

from dataclasses import dataclass, field

import torch

from pipeline.worker import Worker


@dataclass(frozen=True)
class Runtime:
    """Peers, root of every draw, and the device that holds the rows."""

    worker: Worker
    seed: int
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
