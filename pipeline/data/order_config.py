"""What the batches of pretraining hold: the closed union of orders."""

from typing import Annotated, Literal, TypeAlias

from pydantic import Field, model_validator

from modalities.spec import Config


class ShuffleOrder(Config):
    """Every training sample once per epoch, in a keyed block shuffle."""

    kind: Literal["shuffle"] = "shuffle"
    """Plain shuffle."""
    block: int = Field(default=64, ge=1)
    """Samples that stay together on disk: blocks come in random order, so reads stay near-sequential."""
    buffer: int = Field(default=16384, ge=1)
    """Samples that are mixed with each other; a multiple of `block`. A split up to this size is shuffled fully."""

    @model_validator(mode="after")
    def _whole_blocks(self) -> "ShuffleOrder":
        if self.buffer % self.block:
            raise ValueError(f"buffer {self.buffer} is not a multiple of block {self.block}")
        return self


class GroupOrder(Config):
    """P groups with K samples each in every batch; P = batch_size / K."""

    kind: Literal["groups"] = "groups"
    """Group-aware batches."""
    column: str
    """Group column of the data set (subject, session, device, ...). Samples without a value take no part."""
    samples_per_group: int = Field(ge=2)
    """K; divides the batch size. Groups with fewer training samples take no part."""
    steps_per_epoch: int = Field(ge=1)
    """Batches that count as an epoch."""


class MixtureOrder(Config):
    """A fixed number of samples of each data set of `data.mix` in every batch."""

    kind: Literal["mixture"] = "mixture"
    """Weighted mixing."""
    steps_per_epoch: int = Field(ge=1)
    """Batches that count as an epoch; each data set goes through epochs of its own."""
    shuffle: ShuffleOrder = ShuffleOrder()
    """Shuffle of each data set."""


class NeighbourOrder(Config):
    """Every training sample once per epoch, each beside a neighbour: half of a batch are anchors, half neighbours."""

    kind: Literal["neighbours"] = "neighbours"
    """Relation-aware batches."""
    relation: str
    """Relation of the recipe that links an anchor to its neighbours. An anchor without any stands beside itself."""
    shuffle: ShuffleOrder = ShuffleOrder()
    """Shuffle of the anchors."""


AnyOrder: TypeAlias = Annotated[ShuffleOrder | GroupOrder | NeighbourOrder | MixtureOrder, Field(discriminator="kind")]
