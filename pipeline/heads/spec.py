"""The contract of a head: a configuration that builds a classifier of features and the criterion it is trained with.

Axes: B samples, D features, C classes, S positions of an encoded sequence.
"""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import ClassVar, Protocol, TypeAlias

import torch
from torch import Tensor, nn

from modalities.spec import Config
from pipeline.types import LossTerms

ClassLoss: TypeAlias = Callable[[Tensor, Tensor], LossTerms]
"""Logits (B, C) and labels (B,) to the loss of an ordinary softmax classifier."""


@dataclass(frozen=True)
class Target:
    """What is predicted from what: width D of the features, number C of classes, and that of every attribute.

    steps: the same of single positions and of the step label that the head reads.
    """

    width: int
    num_classes: int
    attributes: Mapping[str, int] = field(default_factory=dict)
    steps: "Target | None" = None


@dataclass(frozen=True)
class Attribute:
    """labels: (N,) int64 of every sample of the data set by number, -1 where unlabelled; below num_classes."""

    labels: Tensor
    num_classes: int


@dataclass(frozen=True)
class Steps:
    """Positions in time of the stream that a step label belongs to: features (B, S, D) and classes (B, S) int64.

    Classes are -1 where unknown, and where the encoder makes nothing of a position.
    """

    features: Tensor
    classes: Tensor


@dataclass(frozen=True)
class Supervised:
    """The gathered global batch as a criterion sees it.

    logits: (B, C) of the classifier. features: one (B, D) per augmented view, none where the head reads none. labels:
    (B,) int64. idx: (B,) int64, so that what is drawn belongs to samples and not to places. step: of the optimiser,
    from 0. generator: on the CPU, seeded by step. attributes: (B,) int64 each, -1 where unlabelled. steps: of the step
    label that the head reads.
    """

    logits: Tensor
    labels: Tensor
    idx: Tensor
    step: int
    generator: torch.Generator
    features: tuple[Tensor, ...] = ()
    attributes: Mapping[str, Tensor] = field(default_factory=dict)
    steps: Steps | None = None


class Criterion(Protocol):
    """A module over the global batch whose terms are weighted: their sum is minimised.

    It never sees rank or world size. Its own parameters and buffers serve training alone.
    """

    def __call__(self, batch: Supervised) -> LossTerms: ...


@dataclass(frozen=True)
class Head:
    """classifier: features (B, D) to logits (B, C); all that prediction needs. criterion: what training minimises."""

    classifier: nn.Module
    criterion: nn.Module

    def loss(self, batch: Supervised) -> LossTerms:
        """Weighted terms in float32 or wider, also under autocast."""
        steps = batch.steps
        wide = replace(
            batch,
            logits=widen(batch.logits),
            features=tuple(widen(features) for features in batch.features),
            steps=None if steps is None else Steps(widen(steps.features), steps.classes),
        )
        with torch.autocast(batch.logits.device.type, enabled=False):
            return self.criterion(wide)


def widen(x: Tensor) -> Tensor:
    """In at least float32."""
    return x if x.dtype == torch.float64 else x.float()


class HeadConfig(Config):
    """What every head tells the task about its needs."""

    num_views: ClassVar[int] = 1
    """Augmented views whose features the criterion reads."""
    reads_features: ClassVar[bool] = True
    """False where the logits are enough for the criterion."""
    reads_class_loss: ClassVar[bool] = True
    """False where the criterion has a class loss of its own, so that the stage can choose none."""

    @property
    def attribute_columns(self) -> tuple[str, ...]:
        """Label columns that it predicts beside the class."""
        return ()

    @property
    def steps_of(self) -> str | None:
        """Step label whose classes it reads, with the features of every position of its stream."""
        return None

    @abstractmethod
    def classifier(self, width: int, num_classes: int) -> nn.Module:
        """Features (B, width) to logits (B, num_classes)."""

    @abstractmethod
    def criterion(self, target: Target, classifier: nn.Module, class_loss: ClassLoss) -> nn.Module:
        """The Criterion of a classifier that this configuration made; class_loss where it needs an ordinary one."""

    def build(self, target: Target, class_loss: ClassLoss) -> Head:
        """Both."""
        classifier = self.classifier(target.width, target.num_classes)
        return Head(classifier, self.criterion(target, classifier, class_loss))
