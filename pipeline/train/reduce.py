"""One optimisation step over a global batch of canonical micro-batches.

Forward per micro-batch, gather the outputs, compute the loss of the whole global batch identically on every rank,
then backward per micro-batch from the gradient of its slice (the gradient-cache form, arXiv 2101.06983), and sum the
gradients. `exact` sums them in canonical order, so the bits do not depend on the number of workers; `fast` all-reduces.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from modalities.draws import derive_seed
from pipeline.train.task import Outputs, Task
from pipeline.types import Batch, LossTerms
from pipeline.worker import Worker

Reduce = Literal["exact", "fast"]


def flat_gradient(parameters: Sequence[nn.Parameter]) -> Tensor:
    """All gradients as one vector (P,), zeros where a parameter took no part; clears them."""
    parts = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in parameters]
    for parameter in parameters:
        parameter.grad = None
    return torch.cat(parts)


def assign_gradient(parameters: Sequence[nn.Parameter], flat: Tensor) -> None:
    """Inverse of `flat_gradient`."""
    sizes = [p.numel() for p in parameters]
    for parameter, part in zip(parameters, flat.split(sizes), strict=True):
        parameter.grad = part.view_as(parameter)


class GlobalStep:
    """Forward, loss and gradient of one global batch."""

    def __init__(
        self, task: Task, worker: Worker, *, num_micro: int, reduce: Reduce, precision: torch.dtype, seed: int
    ) -> None:
        self.task, self.worker, self.num_micro = task, worker, num_micro
        self.reduce, self.precision, self.seed = reduce, precision, seed
        self.parameters = [p for p in task.module.parameters() if p.requires_grad]

    def forward(self, batches: Sequence[Batch], micro: Sequence[int], *, step: int, epoch: int) -> list[Outputs]:
        """Outputs of the owned micro-batches. Library randomness is seeded by (step, micro-batch), never by rank."""
        results = []
        for number, batch in zip(micro, batches, strict=True):
            torch.manual_seed(derive_seed(self.seed, "micro-batch", step, number))
            device = batch.idx.device.type
            with torch.autocast(device, self.precision, enabled=self.precision != torch.float32):
                results.append(self.task.outputs(batch, epoch=epoch))
        return results

    def gather(self, own: Sequence[Outputs]) -> Outputs:
        """Leaves over the global batch, in canonical order; floating ones collect gradients."""
        leaves = {}
        for name in own[0]:
            parts = self.worker.gather([outputs[name] for outputs in own], self.num_micro)
            leaf = torch.cat(parts)
            leaves[name] = leaf.requires_grad_() if leaf.is_floating_point() else leaf
        return leaves

    def loss(self, leaves: Outputs, *, step: int) -> tuple[LossTerms, Tensor]:
        """Terms and total of the global batch, the same bits on every rank."""
        terms = self.task.loss(leaves, step=step)
        return terms, self.task.total(terms)

    def backward(self, own: Sequence[Outputs], micro: Sequence[int], leaves: Outputs) -> None:
        """Backward of every owned micro-batch, summed over all of them into `.grad`."""
        flats = []
        for number, outputs in zip(micro, own, strict=True):
            pairs = [
                (tensor, _slice(leaves[name].grad, number, len(tensor)))
                for name, tensor in outputs.items()
                if tensor.requires_grad and leaves[name].grad is not None
            ]
            if pairs:  # a micro-batch in which every stream is absent has no graph
                torch.autograd.backward([tensor for tensor, _ in pairs], [grad for _, grad in pairs])
            flats.append(flat_gradient(self.parameters))
        assign_gradient(self.parameters, self._sum(flats))

    def _sum(self, flats: list[Tensor]) -> Tensor:
        if self.reduce == "fast":
            return self.worker.sum_fast(torch.stack(flats).sum(dim=0))
        parts = self.worker.gather(flats, self.num_micro)
        total = parts[0].clone()
        for part in parts[1:]:
            total += part
        return total


def _slice(gradient: Tensor | None, number: int, size: int) -> Tensor:
    assert gradient is not None  # noqa: S101 - filtered by the caller
    return gradient[number * size : (number + 1) * size]
