"""What a graph holds beside the weights, counted by hand."""

from typing import cast

import torch
from torch import Tensor, nn

from pipeline.train.activations import activation_bytes
from pipeline.train.task import Task
from pipeline.types import Batch

WIDTH, HIDDEN = 8, 16


class _Layers:
    """exp(V W x): backward needs x, W x, the result, and V, which is a weight."""

    def __init__(self) -> None:
        self.module = nn.Sequential(nn.Linear(WIDTH, HIDDEN, bias=False), nn.Linear(HIDDEN, HIDDEN, bias=False))

    def outputs(self, batch: Batch, *, epoch: int) -> dict[str, Tensor]:
        return {"z": self.module(torch.rand(len(batch.idx), WIDTH)).exp()}


def test_each_tensor_counts_once_and_no_weight_does() -> None:
    task, batch = cast("Task", _Layers()), Batch(torch.arange(5), signals={}, content={})
    state = torch.get_rng_state()

    assert activation_bytes(task, batch) == 4 * (WIDTH + HIDDEN + HIDDEN)
    assert torch.get_rng_state().equal(state)
