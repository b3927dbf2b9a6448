"""Everything an exact resume needs, as checkpoint parts and back."""

from collections.abc import Iterator, Mapping

import torch
from pydantic import JsonValue
from torch import Tensor, nn

from pipeline.digest import canonical_json
from pipeline.errors import CheckpointError
from pipeline.expected_tensors import check_expected
from pipeline.train.checkpoint import Checkpoint, lacking, state_hash
from pipeline.train.optim import load_optimizer_tensors, optimizer_tensors
from pipeline.train.rare_events import RareEvents
from pipeline.train.task import Task
from pipeline.types import Cursor


class TrainState:
    """Model, objectives, optimiser, weight average and cursor of one training run."""

    def __init__(self, task: Task, optimizer: torch.optim.Optimizer, *, ema_decay: float | None) -> None:
        self.task, self.optimizer, self.ema_decay = task, optimizer, ema_decay
        self.cursor = Cursor(epoch=0, step=0)
        self.step = 0
        self.events = RareEvents()
        self.average = {name: p.detach().clone() for name, p in task.module.named_parameters()} if ema_decay else {}

    @torch.no_grad()
    def update_average(self) -> None:
        """average <- decay * average + (1 - decay) * weights; the decay ramps up over the first steps."""
        if self.ema_decay is None:
            return
        decay = min(self.ema_decay, (1 + self.step) / (10 + self.step))
        for name, parameter in self.task.module.named_parameters():
            self.average[name].lerp_(parameter.detach(), 1 - decay)

    def parts(self) -> Iterator[tuple[str, Mapping[str, Tensor]]]:
        """Files of a checkpoint, the same on every rank; every rank goes through all of them."""
        weights: dict[str, dict[str, Tensor]] = {
            "average": dict(self.average),
            "model": dict(self.task.module.state_dict()),
            "objectives": dict(self.task.objectives.state_dict()),
            "optimizer": optimizer_tensors(self.optimizer),
        }
        yield from ((name, tensors) for name, tensors in weights.items() if tensors)
        if self.task.kept is not None:
            yield from self.task.kept.parts()

    def position(self) -> dict[str, JsonValue]:
        """Cursor and step as JSON, and what was counted; the counts of an undisturbed run are no entry."""
        found: dict[str, JsonValue] = {"step": self.step, "epoch": self.cursor.epoch, "epoch_step": self.cursor.step}
        if self.events.counts:
            found["counts"] = {**self.events.counts}
        return found

    def hash(self) -> str:
        """Hash of tensors and position: equal for equal runs at any worker count."""
        return state_hash(self.parts(), self.position())

    def restore(self, checkpoint: Checkpoint) -> None:
        """Load a checkpoint. Raises CheckpointError naming the first thing that does not fit."""
        load_matching(self.task.module, checkpoint.part("model"), what="model")
        if self.task.objectives.state_dict():
            load_matching(self.task.objectives, checkpoint.part("objectives"), what="objectives")
        load_optimizer_tensors(self.optimizer, checkpoint.part("optimizer"))
        if self.ema_decay is not None:
            average = checkpoint.part("average")
            check_expected(average, self.average, what="average")
            for name, tensor in average.items():
                self.average[name].copy_(tensor)
        if self.task.kept is not None:
            self.task.kept.restore(checkpoint.part)
        self.step = _position(checkpoint, "step")
        self.cursor = Cursor(epoch=_position(checkpoint, "epoch"), step=_position(checkpoint, "epoch_step"))
        self.events.counts = _counts(checkpoint)


def _position(checkpoint: Checkpoint, name: str) -> int:
    position = checkpoint.state.get("position")
    value = position.get(name) if isinstance(position, dict) else None
    if not isinstance(value, int) or value < 0:
        raise lacking(checkpoint.path, f"position.{name}")
    return value


def _counts(checkpoint: Checkpoint) -> dict[str, int]:
    position = checkpoint.state.get("position")
    counts = position.get("counts", {}) if isinstance(position, dict) else {}
    if not isinstance(counts, dict):
        raise lacking(checkpoint.path, "position.counts")
    return {name: count for name, count in counts.items() if isinstance(count, int)}


def check_identity(checkpoint: Checkpoint, identity: Mapping[str, JsonValue]) -> None:
    """Raises CheckpointError where the checkpoint was written by a run of another configuration or data set."""
    written = checkpoint.state.get("identity")
    if not isinstance(written, dict):
        raise lacking(checkpoint.path, "identity")
    names = sorted(written.keys() | identity.keys())
    if changed := [n for n in names if canonical_json(written.get(n)) != canonical_json(identity.get(n))]:
        raise CheckpointError(
            f"{checkpoint.path} is of another run, which differs in {', '.join(changed)}",
            code="CKPT_MIXED",
            field=changed[0],
            fix="restore a checkpoint of this run, or start anew with --fork NAME",
        )


def load_matching(module: nn.Module, tensors: Mapping[str, Tensor], *, what: str) -> None:
    """Load exactly; raises CheckpointError with the first tensor that does not fit."""
    check_expected(tensors, module.state_dict(), what=what)
    module.load_state_dict(dict(tensors))
