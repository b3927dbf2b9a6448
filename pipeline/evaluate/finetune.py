"""Fine-tuning as a Task: encoders of the present streams -> fused features -> class logits of a head."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

from modalities.draws import derive_seed
from modalities.spec import Modality
from pipeline.errors import ConfigError, DataError
from pipeline.evaluate.best_epoch import BestEpoch
from pipeline.evaluate.class_loss import ClassLoss
from pipeline.evaluate.fused_network import FusedNetwork
from pipeline.evaluate.position_classes import position_classes
from pipeline.evaluate.training_views import TrainingViews
from pipeline.heads.linear import Linear
from pipeline.heads.spec import Attribute, Head, HeadConfig, Steps, Supervised, Target
from pipeline.train.task import Outputs
from pipeline.types import Batch, LossTerms

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


class Classification:
    """The loss of a head, which draws by (seed, step). kept: the best epoch, where training may end early."""

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
        self.module = FusedNetwork(encoders, num_classes, head=config, blocks=blocks)
        attributes = {name: attribute.num_classes for name, attribute in supervision.attributes.items()}
        steps = supervision.steps
        of_steps = None if steps is None else Target(len(self.module.absent[steps.stream]), steps.num_classes)
        target = Target(self.module.width, num_classes, attributes, of_steps)
        self.head = Head(self.module.head, config.criterion(target, self.module.head, supervision.class_loss))
        self.objectives = self.head.criterion
        self.views = TrainingViews(modalities if augment else {}, seed=seed)
        self.kept: BestEpoch | None = None
        self.seed = seed

    def outputs(self, batch: Batch, *, epoch: int) -> Outputs:
        if batch.labels is None or bool((batch.labels < 0).any()):
            raise DataError("fine-tuning needs a label for every sample", code="DATA_LABEL")
        head = self.supervision.head
        first, *others = (self.views(batch, epoch=epoch, view=view) for view in range(head.num_views))
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

    def total(self, terms: LossTerms) -> Tensor:
        return torch.stack(list(terms.terms.values())).sum()

    def monitors(self, outputs: Outputs, *, step: int) -> dict[str, float]:
        hits = outputs["logits"].argmax(dim=1) == outputs["labels"]
        return {"batch_accuracy": float(hits.float().mean())}


def _check_time(modalities: Mapping[str, Modality], steps: StepClasses) -> None:
    if not modalities[steps.stream].augment.keeps_time:
        raise ConfigError(
            f"the head reads {steps.name} step by step, but the augmentation of {steps.stream} moves steps in time",
            code="CONFIG_AUGMENT",
            field=f"streams.{steps.stream}.augment",
            fix="keep only transforms that keep time (jitter, scaling, ...), or set finetune.augment to false",
        )
