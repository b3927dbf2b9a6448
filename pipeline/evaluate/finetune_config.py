"""How encoders are trained with labels."""

from typing import Literal, Self, TypeAlias

from pydantic import Field, model_validator

from pipeline.evaluate.probe_config import Percent
from pipeline.heads.catalogue import AnyHead
from pipeline.heads.linear import Linear
from pipeline.train.fit_config import FitConfig
from pipeline.train.optim import OptimConfig

Loss: TypeAlias = Literal["cross_entropy", "generalized_cross_entropy"]
Balance: TypeAlias = Literal["weights", "logit_adjustment"]


class FinetuneConfig(FitConfig):
    """Training the encoders with labels and targets beside them, and the same network from scratch as the control."""

    optim: OptimConfig = OptimConfig(learning_rate=5e-4)
    """Optimiser of the head; encoder blocks get layer-wise smaller rates."""
    epochs: int = Field(default=10, ge=1)
    """Most passes over the labelled samples."""
    min_steps: int | None = Field(default=None, ge=1)
    """Least steps of the optimiser: few labels are passed over more often, until as much was learned from them as from
    many. None: `epochs` passes over however few."""
    patience: int | None = Field(default=None, ge=1)
    """Epochs without a smaller loss on the validation split after which training ends, with the weights of the best
    epoch. None trains all epochs and keeps the last weights."""
    batch_size: int = Field(default=64, ge=2)
    """Samples in a batch."""
    micro_batches: int = Field(default=1, ge=1)
    """Canonical micro-batches."""
    blocks: int | None = Field(default=None, ge=0)
    """Number of last blocks of each encoder that are trained, with the head; 0 trains the head alone. None means all,
    which the control from random weights does whatever this says."""
    layer_decay: float = Field(default=0.75, gt=0, le=1)
    """Learning rate of a block relative to the one above it."""
    head: AnyHead = Linear()
    """How features become logits of the label, and what training minimises of both. Targets beside it have a linear
    output: squared error of numbers, binary cross-entropy of tags."""
    label_smoothing: float = Field(default=0.1, ge=0, lt=1)
    """Label smoothing; margin heads and triplets, which have a class loss of their own, have none."""
    loss: Loss = "cross_entropy"
    """`generalized_cross_entropy` (arXiv 1805.07836) learns less from labels that are probably wrong."""
    balance: Balance | None = None
    """For classes of unequal size: `weights` weighs each by its inverse frequency, `logit_adjustment` adds the log of
    its share to its logit in training (arXiv 2007.07314). Shares of the labelled training samples. None: off."""
    percents: tuple[Percent, ...] = Field(default=(100.0,), min_length=1)
    """Label fractions, in percent of the labelled training split; of the label and of every target."""
    augment: bool = True
    """Train on augmented views."""
    supervised_control: bool = True
    """Also train from random weights at the same budget."""

    @model_validator(mode="after")
    def _one_class_loss(self) -> Self:
        if not self.head.reads_class_loss and (self.loss != "cross_entropy" or self.balance is not None):
            raise ValueError(f"the head {self.head.kind!r} has a class loss of its own: leave loss and balance out")
        return self
