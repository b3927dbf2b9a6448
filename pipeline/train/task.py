"""What the one training loop trains: forward per micro-batch, loss over the gathered global batch."""

from typing import Protocol

from torch import Tensor, nn

from pipeline.types import Batch, LossTerms

Outputs = dict[str, Tensor]


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

    def outputs(self, batch: Batch, *, epoch: int) -> Outputs:
        """Forward pass of one micro-batch; every tensor has the samples as axis 0 and a shape that no rank decides."""
        ...

    def loss(self, outputs: Outputs) -> LossTerms:
        """Terms over the global batch; `outputs` are concatenated in canonical order. Must not modify them."""
        ...

    def total(self, terms: LossTerms) -> Tensor:
        """The scalar that is minimised."""
        ...

    def monitors(self, outputs: Outputs) -> dict[str, float]:
        """Health figures of the global batch, by metric name without the stage."""
        ...
