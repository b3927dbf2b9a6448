"""A slow copy of a module (MoCo, arXiv 1911.05722, equation 2)."""

import copy
from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pipeline.expected_tensors import check_expected


class MomentumEncoder:
    """xi <- mu xi + (1 - mu) theta after every step; buffers are copied. Its parameters never get gradients."""

    def __init__(self, module: nn.Module, momentum: float) -> None:
        self.momentum = momentum
        self.module = copy.deepcopy(module).requires_grad_(False)

    @torch.no_grad()
    def follow(self, module: nn.Module) -> None:
        """One step towards the weights of `module`."""
        for slow, fast in zip(self.module.parameters(), module.parameters(), strict=True):
            slow.lerp_(fast.detach(), 1 - self.momentum)
        for slow, fast in zip(self.module.buffers(), module.buffers(), strict=True):
            slow.copy_(fast)

    def tensors(self) -> dict[str, Tensor]:
        """The weights, for a checkpoint."""
        return dict(self.module.state_dict())

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Inverse of `tensors`. Raises CheckpointError for another architecture."""
        check_expected(tensors, self.module.state_dict(), what="momentum encoder")
        self.module.load_state_dict(dict(tensors))
