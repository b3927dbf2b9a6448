"""Dual prototypical contrast: prototypes of events in time against kept ones of all classes, and within an episode.

The paper masks pixels of images; here steps of time are masked. With a step label, a prototype is the mean of what an
encoder makes of the positions of one class in one window, and the rest of the window is its background. Without one, a
window is an event as a whole: the foreground of an episode are the windows of one class, its background all others.

Axes: B samples, D features, C classes, N prototypes, Q entries of a class in the dictionary, K backgrounds.
"""

from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.heads.event_prototypes import episode_of, events_of
from pipeline.heads.spec import ClassLoss, HeadConfig, Steps, Supervised, Target
from pipeline.objectives.info_nce import normalize, product
from pipeline.types import LossTerms


def class_specific(
    prototypes: Tensor, labels: Tensor, dictionary: Tensor, filled: Tensor, *, temperature: float
) -> Tensor:
    """-mean_{d in D[c]} log(e^{p.d/tau} / sum over all entries of e^{p.d/tau}) of a prototype p (N, D), class c (N,).

    dictionary: (C, Q, D) with the last `filled` (C,) entries of each class in use; both sides on the unit sphere.
    Returns (N,), 0 where the class has no entry yet.
    """
    entries = normalize(dictionary).flatten(0, 1).to(prototypes)
    slots = torch.arange(dictionary.shape[1], device=filled.device)
    used = slots >= dictionary.shape[1] - filled[:, None]
    cosines = product(normalize(prototypes), entries.T) / temperature
    shares = cosines.masked_fill(~used.flatten() & used.any(), -torch.inf).log_softmax(dim=1).unflatten(1, used.shape)
    own = shares[torch.arange(len(labels), device=labels.device), labels]
    known = used[labels]
    mean = own.masked_fill(~known, 0.0).sum(dim=1) / known.sum(dim=1).clamp(min=1)
    return torch.where(known.any(dim=1), -mean, 0.0)


def class_agnostic(query: Tensor, support: Tensor, background: Tensor, known: Tensor, *, temperature: float) -> Tensor:
    """-log(e^{q.s/tau} / (e^{q.s/tau} + sum_b e^{q.b/tau})) of each query (N, D) and support (N, D) of its class.

    background (N, K, D): prototypes of whatever else there is, where known (N, K). All become unit rows. Returns (N,).
    """
    unit = normalize(query)
    own = (unit * normalize(support)).sum(dim=1, keepdim=True)
    others = (unit[:, None] * normalize(background)).sum(dim=2).masked_fill(~known, -torch.inf)
    return torch.cat([own, others], dim=1).div(temperature).logsumexp(dim=1) - own[:, 0] / temperature


def episode_losses(
    features: Tensor, labels: Tensor, is_query: Tensor, *, num_classes: int, temperature: float
) -> Tensor:
    """`class_agnostic` of every query whose class is among the supports (N,): features (B, D), is_query (B,) bool.

    Its support is the mean of the supports of its class; the two backgrounds are the means of all other supports and of
    all other queries.
    """
    classes = nn.functional.one_hot(labels, num_classes).to(features.dtype)
    means, backgrounds, found = [], [], []
    for rows in (~is_query, is_query):
        own = classes * rows[:, None]
        rest = (1 - classes) * rows[:, None]
        means.append((product(own.T, features) / own.sum(dim=0).clamp(min=1)[:, None], own.any(dim=0)))
        backgrounds.append(product(rest.T, features) / rest.sum(dim=0).clamp(min=1)[:, None])
        found.append(rest.any(dim=0))
    support, is_known = means[0]
    chosen = is_query & is_known[labels]
    own = labels[chosen]
    background, known = torch.stack(backgrounds, dim=1)[own], torch.stack(found, dim=1)[own]
    return class_agnostic(features[chosen], support[own], background, known, temperature=temperature)


class DualPrototypicalCriterion(nn.Module):
    """Class loss, weighted contrast with the dictionary and weighted contrast within the episode.

    Buffers, which a checkpoint holds: dictionary (C, Q, D), the last prototypes of each class, newest last; filled
    (C,). C and D are those of the step label where the configuration names one.
    """

    dictionary: Tensor
    filled: Tensor

    def __init__(self, config: "DualPrototypical", target: Target, class_loss: ClassLoss) -> None:
        super().__init__()
        self.config, self.class_loss = config, class_loss
        of = target if target.steps is None else target.steps
        self.register_buffer("dictionary", torch.zeros(of.num_classes, config.entries, of.width))
        self.register_buffer("filled", torch.zeros(of.num_classes, dtype=torch.int64))

    def forward(self, batch: Supervised) -> LossTerms:
        c, order = self.config, batch.idx.argsort()
        even = torch.arange(len(order), device=order.device) % 2 == 0  # queries, and then supports of the others
        found = (
            self._windows(batch.features[0][order], batch.labels[order], even)
            if batch.steps is None
            else self._events(Steps(batch.steps.features[order], batch.steps.classes[order]), even)
        )
        specific = class_specific(*found.prototypes, self.dictionary, self.filled, temperature=c.temperature)
        self._keep(found.prototypes[0].detach(), found.prototypes[1])
        return LossTerms(
            {
                **self.class_loss(batch.logits, batch.labels).terms,
                "class_specific": c.specific * _mean(specific),
                "class_agnostic": c.agnostic * _mean(found.episodes),
            }
        )

    def _windows(self, features: Tensor, labels: Tensor, even: Tensor) -> "_Contrasted":
        classes, temperature = len(self.filled), self.config.temperature
        episodes = [
            episode_losses(features, labels, queries, num_classes=classes, temperature=temperature)
            for queries in (even, ~even)
        ]
        return _Contrasted((features, labels), torch.cat(episodes))

    def _events(self, steps: Steps, even: Tensor) -> "_Contrasted":
        events, temperature = events_of(steps, len(self.filled)), self.config.temperature
        episodes = [class_agnostic(*episode_of(events, queries), temperature=temperature) for queries in (even, ~even)]
        return _Contrasted((events.foreground[events.has], events.has.nonzero()[:, 1]), torch.cat(episodes))

    def _keep(self, features: Tensor, labels: Tensor) -> None:
        for label in labels.unique().tolist():
            own = features[labels == label].to(self.dictionary)
            self.dictionary[label] = torch.cat([self.dictionary[label], own])[-self.config.entries :]
            self.filled[label] = (self.filled[label] + len(own)).clamp(max=self.config.entries)


class _Contrasted(NamedTuple):
    """prototypes: (N, D) with classes (N,). episodes: losses of the queries of both episodes."""

    prototypes: tuple[Tensor, Tensor]
    episodes: Tensor


def _mean(losses: Tensor) -> Tensor:
    return losses.sum() / max(len(losses), 1)


class DualPrototypical(HeadConfig):
    """Dual prototypical contrast (arXiv 2111.04982) of events in time, beside a linear classifier of windows.

    L = L_class + specific L_cs + agnostic L_ca. L_cs: each prototype against a dictionary of the last ones of every
    class, which are constants; L_ca: each as the query of an episode, whose support are other windows with its class.
    Reconstructed from the abstract: the authors' code could not be had, and weights and size are ours. A large
    dictionary goes stale where encoders move fast; it has no entry before the second batch.
    """

    kind: Literal["dual_prototypical"] = "dual_prototypical"
    """Prototypes of events against kept ones and within an episode."""
    step_label: str | None = None
    """Step label whose classes are the events: steps of the class in a window against the rest of the window.
    Augmentations of its stream must keep time. None: each window is one event, of the class that is predicted."""
    specific: float = Field(default=1.0, ge=0)
    """Weight lambda_1 of the contrast with the dictionary."""
    agnostic: float = Field(default=1.0, ge=0)
    """Weight lambda_2 of the contrast within the episode."""
    entries: int = Field(default=8, ge=1, le=1024)
    """Prototypes Q of each class that are kept."""
    temperature: float = Field(default=0.1, ge=0.01)
    """Temperature tau of both."""

    @property
    def steps_of(self) -> str | None:
        return self.step_label

    def classifier(self, width: int, num_classes: int) -> nn.Linear:
        return nn.Linear(width, num_classes)

    def criterion(self, target: Target, classifier: nn.Module, class_loss: ClassLoss) -> DualPrototypicalCriterion:
        return DualPrototypicalCriterion(self, target, class_loss)
