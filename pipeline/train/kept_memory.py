"""The memory of a pretraining run as the loop keeps it: filled after every step from one objective's projector."""

from collections.abc import Callable, Iterator, Mapping

import torch
from torch import Tensor, nn

from modalities.spec import Signal
from pipeline.memory.memory import Memory
from pipeline.memory.momentum_encoder import MomentumEncoder
from pipeline.model import PretrainModel, encode_present, scatter_rows
from pipeline.train.named_objectives import NamedObjective
from pipeline.train.task import Outputs

MOMENTUM = "memory_momentum"


class KeptMemory:
    """What the memory learns from: momentum keys where it has a momentum encoder, else the last view's projections."""

    def __init__(self, memory: Memory, source: NamedObjective, module: PretrainModel) -> None:
        self.memory, self.source, self.streams = memory, source.name, source.streams
        own = {name: module.encoders[name] for name in self.streams}
        projector = module.projectors[source.name]
        self.fast = nn.ModuleDict({"encoders": nn.ModuleDict(own), "projectors": projector})
        rate = memory.config.encoder_momentum
        self.momentum = None if rate is None else MomentumEncoder(self.fast, rate)

    def to(self, device: torch.device) -> None:
        """Move the momentum encoder; the memory itself was made for its device."""
        if self.momentum is not None:
            self.momentum.module.to(device)

    @torch.no_grad()
    def key(self, stream: str, view: Signal) -> Outputs:
        """Momentum keys "key/<stream>" (B, d) of one view, zeros where absent; nothing without a momentum encoder."""
        if self.momentum is None:
            return {}
        slow = self.momentum.module.train(self.fast.training)
        encoded = encode_present(slow["encoders"][stream], view)  # pyright: ignore[reportIndexIssue]
        if encoded is None:
            return {f"key/{stream}": torch.zeros(len(view), self.memory.dim, device=view.present.device)}
        rows = slow["projectors"][stream](encoded.pooled).float()  # pyright: ignore[reportIndexIssue]
        return {f"key/{stream}": scatter_rows(rows, view.present)}

    def after_step(self, outputs: Outputs, *, step: int, epoch_ended: bool) -> None:
        """Write the batch's rows, then let the momentum encoder follow."""
        rows = {s: outputs.get(f"key/{s}", outputs[f"z/{self.source}/{s}"][:, -1]).detach() for s in self.streams}
        present = {s: outputs[f"present/{s}"] for s in self.streams}
        self.memory.after_step(outputs["idx"], rows, present, step=step, epoch_ended=epoch_ended)
        if self.momentum is not None:
            self.momentum.follow(self.fast)

    def parts(self) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        yield from self.memory.tensors()
        if self.momentum is not None:
            yield MOMENTUM, self.momentum.tensors()

    def restore(self, part: Callable[[str], Mapping[str, Tensor]]) -> None:
        self.memory.load(part)
        if self.momentum is not None:
            self.momentum.load(part(MOMENTUM))
