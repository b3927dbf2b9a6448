"""Log-sum-exp of similarities by tiles: memory is that of a tile, whatever the batch, forward and backward.

Axes: B anchors, K candidates, d embedding size.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from pipeline.objectives.repel import Repel

# Rows and columns of a tile: a CPU tile stays in the cache, a GPU tile fills the device.
_TILES = {"cpu": (512, 1024)}
_LARGE_TILE = (4096, 8192)


def log_sum_exp(
    anchors: Tensor, candidates: Tensor, *, repel: Repel, temperature: float, tile: tuple[int, int] | None = None
) -> Tensor:
    """(B,) log sum_k w_ik e^{a_i . c_k / temperature} over the candidates that may repel i; -inf where there are none.

    anchors (B, d), candidates (K, d), float32 or wider. Value and gradient are those of the dense form; the tiles are
    computed again in the backward pass instead of being kept. It can be differentiated once.
    """
    return _LogSumExp.apply(
        anchors, candidates, repel, temperature, tile or _TILES.get(anchors.device.type, _LARGE_TILE)
    )


class _LogSumExp(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, anchors: Tensor, candidates: Tensor, repel: Repel, temperature: float, tile: tuple[int, int]
    ) -> Tensor:
        result = anchors.new_full((len(anchors),), -torch.inf)
        with torch.autocast(anchors.device.type, enabled=False):
            for rows in _blocks(len(anchors), tile[0]):
                scaled = anchors[rows] / temperature
                for columns in _blocks(len(candidates), tile[1]):
                    logits = repel.restrict(scaled @ candidates[columns].T, rows, columns)
                    result[rows] = torch.logaddexp(result[rows], logits.logsumexp(dim=1))
        ctx.save_for_backward(anchors, candidates, result)
        ctx.repel, ctx.temperature, ctx.tile = repel, temperature, tile
        return result

    @staticmethod
    @once_differentiable
    def backward(  # pyright: ignore[reportIncompatibleMethodOverride] - the decorator hides the names
        ctx: Any, *grads: Tensor
    ) -> tuple[Tensor | None, ...]:
        anchors, candidates, result = ctx.saved_tensors
        for_anchors = torch.zeros_like(anchors) if ctx.needs_input_grad[0] else None
        for_candidates = torch.zeros_like(candidates) if ctx.needs_input_grad[1] else None
        with torch.autocast(anchors.device.type, enabled=False):
            finite = result.masked_fill(result == -torch.inf, 0.0)  # nobody repels: e^{-inf - 0} is a zero, not a NaN
            for rows in _blocks(len(anchors), ctx.tile[0]):
                scaled, grad = anchors[rows] / ctx.temperature, grads[0][rows, None] / ctx.temperature
                for columns in _blocks(len(candidates), ctx.tile[1]):
                    logits = ctx.repel.restrict(scaled @ candidates[columns].T, rows, columns)
                    share = logits.sub_(finite[rows, None]).exp_().mul_(grad)
                    if for_anchors is not None:
                        for_anchors[rows].addmm_(share, candidates[columns])
                    if for_candidates is not None:
                        for_candidates[columns].addmm_(share.T, anchors[rows])
        return for_anchors, for_candidates, None, None, None


def _blocks(length: int, size: int) -> Iterator[slice]:
    return (slice(start, min(start + size, length)) for start in range(0, length, size))
