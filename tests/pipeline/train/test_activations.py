"""What a graph holds beside the weights, counted by hand."""

from typing import cast

import torch
from torch import Tensor, nn

from pipeline.train.activations import activation_bytes
from pipeline.train.task import Task
from pipeline.types import Batch

WIDTH, HIDDEN = 8, 16


class _Exponentials:
    """exp(exp(W x)): backward needs x and both results, and W, which is a weight."""

    def __init__(self) -> None:
        self.module = nn.Linear(WIDTH, HIDDEN, bias=False)

    def outputs(self, batch: Batch, *, epoch: int) -> dict[str, Tensor]:
        found = self.module(torch.rand(len(batch.idx), WIDTH)).exp()
        return {"once": found, "twice": found.exp()}


def test_each_tensor_counts_once_and_no_weight_does() -> None:
    task, batch = cast("Task", _Exponentials()), Batch(torch.arange(5), signals={}, content={})
    state = torch.get_rng_state()

    assert activation_bytes(task, batch) == 4 * (WIDTH + HIDDEN + HIDDEN)
    assert torch.get_rng_state().equal(state)
