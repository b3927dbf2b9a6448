"""Fine-tuning as a Task: encoders of the present streams -> fused features -> class logits of a head."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import torch
from torch import Tensor, nn

from modalities.draws import Draws, derive_seed
from modalities.spec import Augment, Encoded, Modality, Signal
from pipeline.errors import ConfigError, DataError
from pipeline.evaluate.best_epoch import BestEpoch
from pipeline.evaluate.class_loss import ClassLoss
from pipeline.evaluate.position_classes import position_classes
from pipeline.heads.linear import Linear
from pipeline.heads.spec import Attribute, Head, HeadConfig, Steps, Supervised, Target
from pipeline.model import encode_present, num_positions, scatter_rows
from pipeline.train.task import Outputs
from pipeline.types import Batch, LossTerms

BATCH = 256
"""Samples that are classified at once."""


_LINEAR = Linear()


@dataclass(frozen=True)
class StepClasses:
    """A step label that a head reads, with its stream. stride: steps that each position of its encoder stands for."""

    name: str
    stream: str
    num_classes: int
    stride: int


@dataclass(frozen=True)
class Supervision:
    """What is learned from labels: the classes, the loss of an ordinary classifier, the head, and attributes and steps
    for it."""

    num_classes: int
    class_loss: ClassLoss = field(default_factory=ClassLoss)
    head: HeadConfig = _LINEAR
    attributes: Mapping[str, Attribute] = field(default_factory=dict)
    steps: StepClasses | None = None


class Classifier(nn.Module):
    """Pooled features of every stream, normalised, a learned stand-in where one is absent, concatenated, and a head.

    blocks: number of last blocks of each encoder that are trained; None trains all of it.
    """

    def __init__(
        self,
        encoders: Mapping[str, nn.Module],
        num_classes: int,
        *,
        head: HeadConfig = _LINEAR,
        blocks: int | None = None,
    ) -> None:
        super().__init__()
        self.blocks = blocks
        self.encoders = nn.ModuleDict(dict(encoders))
        widths = {name: int(encoder.width) for name, encoder in encoders.items()}  # pyright: ignore[reportArgumentType]
        self.norms = nn.ModuleDict({name: nn.LayerNorm(width) for name, width in widths.items()})
        self.absent = nn.ParameterDict({name: torch.zeros(width) for name, width in widths.items()})
        self.width = sum(widths.values())
        self.head = head.classifier(self.width, num_classes)
        if blocks is not None:
            for encoder in encoders.values():
                _freeze_below(encoder, blocks)

    def train(self, mode: bool = True) -> Self:
        """Blocks that are not trained stay in evaluation mode: no dropout, and normalisation keeps its statistics."""
        super().train(mode)
        if mode and self.blocks is not None:
            for encoder in self.encoders.values():
                encoder.eval()
                for part in _last_blocks(encoder, self.blocks):
                    part.train()
        return self

    def forward(self, signals: Mapping[str, Signal]) -> Tensor:
        """Logits (B, num_classes)."""
        return self.head(self.features(signals))

    def features(self, signals: Mapping[str, Signal]) -> Tensor:
        """What the head reads, (B, width) float32."""
        return self._joined(signals, self.encoded(signals))

    def encoded(self, signals: Mapping[str, Signal]) -> dict[str, Encoded | None]:
        """Of the samples that have the stream; None where nobody has."""
        return {name: encode_present(encoder, signals[name]) for name, encoder in self.encoders.items()}

    def _joined(self, signals: Mapping[str, Signal], encoded: Mapping[str, Encoded | None]) -> Tensor:
        parts = []
        for name, found in encoded.items():
            signal, stand_in = signals[name], self.absent[name]
            full = stand_in.expand(len(signal), -1)
            if found is not None:
                rows = scatter_rows(self.norms[name](found.pooled.float()), signal.present)
                full = torch.where(signal.present[:, None], rows, full)
            parts.append(full)
        return torch.cat(parts, dim=1)

    def with_positions(self, signals: Mapping[str, Signal], stream: str) -> tuple[Tensor, Tensor, Tensor]:
        """What the head reads, and of every position of a stream features (B, S, D) float32 and whether it is real."""
        encoded, signal = self.encoded(signals), signals[stream]
        found = encoded[stream]
        if found is None:
            shape = len(signal), num_positions(self.encoders[stream], signal)
            features = self.absent[stream].new_zeros(*shape, len(self.absent[stream]))
            real = torch.zeros(shape, dtype=torch.bool, device=features.device)
        else:
            features = scatter_rows(self.norms[stream](found.sequence.float()), signal.present)
            real = scatter_rows(found.mask, signal.present)
        return self._joined(signals, encoded), features, real


def _last_blocks(encoder: nn.Module, number: int) -> Sequence[nn.Module]:
    """The encoder itself where it has no more blocks."""
    blocks: Sequence[nn.Module] = encoder.blocks()  # pyright: ignore[reportCallIssue, reportAssignmentType]
    return [encoder] if number >= len(blocks) else blocks[len(blocks) - number :]


def _freeze_below(encoder: nn.Module, number: int) -> None:
    trained = {id(p) for part in _last_blocks(encoder, number) for p in part.parameters()}
    for parameter in encoder.parameters():
        if id(parameter) not in trained:
            parameter.requires_grad_(False)


class Classification:
    """The loss of a head; training views are drawn by (seed, epoch, idx), what the loss draws by (seed, step)."""

    def __init__(
        self,
        modalities: Mapping[str, Modality],
        supervision: Supervision,
        *,
        seed: int,
        augment: bool = True,
        blocks: int | None = None,
    ) -> None:
        encoders = {name: modality.encoder for name, modality in modalities.items()}
        self.supervision, num_classes, config = supervision, supervision.num_classes, supervision.head
        if augment and supervision.steps is not None:
            _check_time(modalities, supervision.steps)
        self.module = Classifier(encoders, num_classes, head=config, blocks=blocks)
        attributes = {name: attribute.num_classes for name, attribute in supervision.attributes.items()}
        steps = supervision.steps
        of_steps = None if steps is None else Target(len(self.module.absent[steps.stream]), steps.num_classes)
        target = Target(self.module.width, num_classes, attributes, of_steps)
        self.head = Head(self.module.head, config.criterion(target, self.module.head, supervision.class_loss))
        self.objectives = self.head.criterion
        self.augments: dict[str, Augment] = {n: m.augment for n, m in modalities.items()} if augment else {}
        self.kept: BestEpoch | None = None
        self.seed, self.class_loss = seed, supervision.class_loss

    def outputs(self, batch: Batch, *, epoch: int) -> Outputs:
        if batch.labels is None or bool((batch.labels < 0).any()):
            raise DataError("fine-tuning needs a label for every sample", code="DATA_LABEL")
        head = self.supervision.head
        first, *others = (self._view(batch, epoch, view) for view in range(head.num_views))
        outputs: Outputs = {"idx": batch.idx, "labels": batch.labels}
        if (steps := self.supervision.steps) is None:
            features = [self.module.features(first)]
        else:
            pooled, outputs["steps"], real = self.module.with_positions(first, steps.stream)
            classes = position_classes(batch.step_labels[steps.name], steps.stride)
            features, outputs["step_classes"] = [pooled], torch.where(real, classes, -1)
        features += [self.module.features(view) for view in others]
        outputs["logits"] = self.module.head(features[0]).float()
        if head.reads_features:
            outputs |= {f"features_{view}": rows for view, rows in enumerate(features)}
        return outputs

    def _view(self, batch: Batch, epoch: int, view: int) -> dict[str, Signal]:
        signals = dict(batch.signals)
        for name in signals.keys() & self.augments.keys():
            draws = Draws.keyed(batch.idx, seed=self.seed, purpose=f"finetune/{name}", epoch=epoch, view=view)
            signals[name] = self.augments[name](signals[name], draws)
        return signals

    def loss(self, outputs: Outputs, *, step: int) -> LossTerms:
        idx = outputs["idx"]
        return self.head.loss(
            Supervised(
                outputs["logits"],
                outputs["labels"],
                idx,
                step,
                torch.Generator().manual_seed(derive_seed(self.seed, "head", step)),
                tuple(tensor for name, tensor in sorted(outputs.items()) if name.startswith("features_")),
                {name: column.labels[idx.cpu()].to(idx.device) for name, column in self.supervision.attributes.items()},
                Steps(outputs["steps"], outputs["step_classes"]) if "steps" in outputs else None,
            )
        )

    def stop_early(self, validate: Callable[[int], float], *, patience: int) -> BestEpoch:
        """Remember the best epoch from here on."""
        self.kept = BestEpoch(self.module, validate, patience=patience)
        return self.kept

    def total(self, terms: LossTerms) -> Tensor:
        return torch.stack(list(terms.terms.values())).sum()

    def monitors(self, outputs: Outputs, *, step: int) -> dict[str, float]:
        hits = outputs["logits"].argmax(dim=1) == outputs["labels"]
        return {"batch_accuracy": float(hits.float().mean())}

    @torch.no_grad()
    def predict(self, batch: Batch) -> Tensor:
        """Class logits (B, num_classes) without augmentation, in evaluation mode."""
        was_training = self.module.training
        self.module.eval()
        logits = self.module(batch.signals).float()
        self.module.train(was_training)
        return logits

    def logits(self, read: Callable[[np.ndarray], Batch], rows: np.ndarray) -> Tensor:
        """Class logits (N, num_classes) of samples, as `predict` gives them."""
        return torch.cat([self.predict(read(rows[start : start + BATCH])) for start in range(0, len(rows), BATCH)])


def _check_time(modalities: Mapping[str, Modality], steps: StepClasses) -> None:
    if not modalities[steps.stream].augment.keeps_time:
        raise ConfigError(
            f"the head reads {steps.name} step by step, but the augmentation of {steps.stream} moves steps in time",
            code="CONFIG_AUGMENT",
            field=f"streams.{steps.stream}.augment",
            fix="keep only transforms that keep time (jitter, scaling, ...), or set finetune.augment to false",
        )


def layerwise_groups(
    module: Classifier, *, learning_rate: float, decay: float, weight_decay: float
) -> list[dict[str, object]]:
    """Parameter groups whose rate shrinks by `decay` per block from the head down (arXiv 1801.06146, section 3.2)."""
    groups = _groups([module.norms, module.absent, module.head], learning_rate, weight_decay)
    for encoder in module.encoders.values():
        blocks: Sequence[nn.Module] = encoder.blocks()  # pyright: ignore[reportCallIssue, reportAssignmentType]
        seen: set[int] = set()
        for depth, block in enumerate(reversed(blocks), start=1):
            groups += _groups([block], learning_rate * decay**depth, weight_decay)
            seen |= {id(p) for p in block.parameters()}
        rest = [p for p in encoder.parameters() if id(p) not in seen]
        groups += _split(rest, learning_rate * decay ** len(blocks), weight_decay)
    return groups


def _groups(modules: Sequence[nn.Module], learning_rate: float, weight_decay: float) -> list[dict[str, object]]:
    return _split([p for module in modules for p in module.parameters()], learning_rate, weight_decay)


def _split(parameters: Sequence[nn.Parameter], learning_rate: float, weight_decay: float) -> list[dict[str, object]]:
    trained = [p for p in parameters if p.requires_grad]
    return [
        {"params": [p for p in trained if p.ndim > 1], "lr": learning_rate, "weight_decay": weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "lr": learning_rate, "weight_decay": 0.0},
    ]
