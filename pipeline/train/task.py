"""What the one training loop trains: forward per micro-batch, loss over the gathered global batch."""

from collections.abc import Callable, Iterator, Mapping
from typing import Protocol

import torch
from torch import Tensor, nn

from pipeline.types import Batch, LossTerms

Outputs = dict[str, Tensor]


class KeptState(Protocol):
    """What a task remembers between steps beside its weights: banks, pseudo-labels, queues, momentum encoders."""

    def to(self, device: torch.device) -> None:
        """Move what was not made on the device of the module."""
        ...

    def after_step(self, outputs: Outputs, *, step: int, epoch_ended: bool) -> None:
        """Learn from the gathered outputs of `step`, after the weights have changed; the same on every rank."""
        ...

    def parts(self) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        """Files of a checkpoint, the same on every rank. Every rank goes through all of them: they may be gathered."""
        ...

    def restore(self, part: Callable[[str], Mapping[str, Tensor]]) -> None:
        """Inverse of `parts`; `part` reads one file. Raises CheckpointError where one is missing."""
        ...


class Task(Protocol):
    """Pretraining or fine-tuning."""

    @property
    def module(self) -> nn.Module:
        """Everything trained by `outputs`, and everything a checkpoint must hold."""
        ...

    @property
    def objectives(self) -> nn.Module:
        """Parameters used only inside `loss`; every rank computes the same gradient for them."""
        ...

    @property
    def kept(self) -> KeptState | None:
        """State beside the weights; None where there is none."""
        ...

    def outputs(self, batch: Batch, *, epoch: int) -> Outputs:
        """Forward pass of one micro-batch; every tensor has the samples as axis 0 and a shape that no rank decides."""
        ...

    def loss(self, outputs: Outputs, *, step: int) -> LossTerms:
        """Terms over the global batch; `outputs` are concatenated in canonical order. Must not modify them."""
        ...

    def total(self, terms: LossTerms) -> Tensor:
        """The scalar that is minimised."""
        ...

    def monitors(self, outputs: Outputs, *, step: int) -> dict[str, float]:
        """Health figures of the global batch, by metric name without the stage. Called on every rank."""
        ...
