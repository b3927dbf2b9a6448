"""Hand-made features and labels for every head, and configurations worth the contracts besides the defaults."""

from dataclasses import dataclass
from typing import get_args

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.heads.arcface import ArcFace
from pipeline.heads.catalogue import AnyHead
from pipeline.heads.contra import Contra
from pipeline.heads.das import DAS
from pipeline.heads.distance_weighted import DistanceWeighted
from pipeline.heads.dual_prototypical import DualPrototypical
from pipeline.heads.multi_similarity import MultiSimilarity
from pipeline.heads.pairwise import Pairwise
from pipeline.heads.spec import Head, HeadConfig, Steps, Supervised, Target
from pipeline.heads.sup_con import SupCon
from pipeline.heads.triplet import Triplet
from pipeline.types import LossTerms

MEMBERS: list[type[HeadConfig]] = list(get_args(get_args(AnyHead)[0]))
BATCH, WIDTH, CLASSES = 9, 6, 4

REQUIRED: dict[str, object] = {}
"""Values of keys that have no default."""

DEFAULTS = [
    member.model_validate({name: REQUIRED[name] for name in member.model_fields.keys() & REQUIRED.keys()})
    for member in MEMBERS
]
VARIANTS: list[HeadConfig] = [
    ArcFace(sub_centers=3),
    Contra(form="kl"),
    Pairwise(temperature=None, unit=False),
    MultiSimilarity(mining=None),
    DAS(base=DistanceWeighted(), detach=False, shift=0.1, scale_low=0.5, scale_high=2.0),
    DAS(base=SupCon(), channels=99),
    Triplet(margin=None, softmax_margin=0.2, attributes=("device", "place")),
    DualPrototypical(step_label="phase"),
]


def class_loss(logits: Tensor, labels: Tensor) -> LossTerms:
    return LossTerms({"cross_entropy": functional.cross_entropy(logits, labels, label_smoothing=0.1)})


@dataclass(frozen=True)
class Example:
    """Features of two views (2, B, D), of which a head takes what it needs, with labels and sample numbers (B,)."""

    features: Tensor
    labels: Tensor
    idx: Tensor

    def select(self, rows: Tensor) -> "Example":
        return Example(self.features[:, rows], self.labels[rows], self.idx[rows])


def example(*, dtype: torch.dtype = torch.float64) -> Example:
    """Nine samples of four classes; class 3 has one."""
    generator = torch.Generator().manual_seed(5)
    labels = torch.tensor([0, 1, 2, 0, 1, 2, 0, 1, 3])
    centres = torch.randn(CLASSES, WIDTH, generator=generator, dtype=torch.float64)
    noise = torch.randn(2, BATCH, WIDTH, generator=generator, dtype=torch.float64)
    return Example((centres[labels] + 0.8 * noise).to(dtype), labels, torch.arange(20, 20 + BATCH))


def build(config: HeadConfig, *, dtype: torch.dtype = torch.float64) -> Head:
    """The head with the same weights at every call."""
    torch.manual_seed(0)
    of_steps = None if config.steps_of is None else Target(WIDTH, CLASSES)
    target = Target(WIDTH, CLASSES, dict.fromkeys(config.attribute_columns, 2), of_steps)
    head = config.build(target, class_loss)
    return Head(head.classifier.to(dtype), head.criterion.to(dtype))


def batch_of(head: Head, config: HeadConfig, given: Example, *, seed: int = 1, step: int = 3) -> Supervised:
    """What the criterion sees of an example."""
    logits, views = head.classifier(given.features[0]), given.features[: config.num_views]
    return Supervised(
        logits,
        given.labels,
        given.idx,
        step,
        torch.Generator().manual_seed(seed),
        tuple(views) if config.reads_features else (),
        dict.fromkeys(config.attribute_columns, given.labels % 3 - 1),
        None if config.steps_of is None else _steps(given),
    )


def _steps(given: Example) -> Steps:
    """Four positions of every sample: two of its class, one of the next class, and one nobody labelled."""
    shift = torch.linspace(-1, 1, 4 * WIDTH).view(4, WIDTH).to(given.features)
    classes = torch.stack([given.labels, given.labels, (given.labels + 1) % CLASSES, given.labels * 0 - 1], dim=1)
    return Steps(given.features[0][:, None] + shift, classes)


def total(terms: LossTerms) -> Tensor:
    return torch.stack(list(terms.terms.values())).sum()


def loss_of(config: HeadConfig, given: Example, *, seed: int = 1) -> Tensor:
    """Loss of a head that was just built, in the precision of the example."""
    head = build(config, dtype=given.features.dtype)
    return total(head.loss(batch_of(head, config, given, seed=seed)))
