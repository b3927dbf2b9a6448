"""Dual prototypical contrast: prototypes of events in time against kept ones of all classes, and within an episode.

The paper masks pixels of images; here the mask is a window of time: a prototype is the mean of what an encoder makes of
the window's steps, the foreground of an episode are the windows of one event, its background all others of the batch.
Heads read pooled features, so windows must be cut around events for this; single steps are not contrasted.

Axes: B samples, D features, C classes, Q entries of a class in the dictionary, K backgrounds.
"""

from typing import Literal

import torch
from pydantic import Field
from torch import Tensor, nn

from pipeline.heads.spec import ClassLoss, HeadConfig, Supervised, Target
from pipeline.objectives.info_nce import normalize, product
from pipeline.types import LossTerms


def class_specific(
    prototypes: Tensor, labels: Tensor, dictionary: Tensor, filled: Tensor, *, temperature: float
) -> Tensor:
    """-mean_{d in D[c]} log(e^{p.d/tau} / sum over all entries of e^{p.d/tau}) of each prototype p (B, D), class c.

    dictionary: (C, Q, D) with the last `filled` (C,) entries of each class in use; both sides on the unit sphere.
    Returns (B,), 0 where the class has no entry yet.
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

    Buffers, which a checkpoint holds: dictionary (C, Q, D), the last features of each class, newest last; filled (C,).
    """

    dictionary: Tensor
    filled: Tensor

    def __init__(self, config: "DualPrototypical", target: Target, class_loss: ClassLoss) -> None:
        super().__init__()
        self.config, self.class_loss = config, class_loss
        self.register_buffer("dictionary", torch.zeros(target.num_classes, config.entries, target.width))
        self.register_buffer("filled", torch.zeros(target.num_classes, dtype=torch.int64))

    def forward(self, batch: Supervised) -> LossTerms:
        c, order = self.config, batch.idx.argsort()
        features, labels = batch.features[0][order], batch.labels[order]
        specific = class_specific(features, labels, self.dictionary, self.filled, temperature=c.temperature).mean()
        agnostic = self._episodes(features, labels)
        self._keep(features.detach(), labels)
        return LossTerms(
            {
                **self.class_loss(batch.logits, batch.labels).terms,
                "class_specific": c.specific * specific,
                "class_agnostic": c.agnostic * agnostic,
            }
        )

    def _episodes(self, features: Tensor, labels: Tensor) -> Tensor:
        """Every other sample is a query and the rest its support, and the reverse."""
        even = torch.arange(len(labels), device=labels.device) % 2 == 0
        classes, temperature = len(self.filled), self.config.temperature
        both = [
            episode_losses(features, labels, rows, num_classes=classes, temperature=temperature)
            for rows in (even, ~even)
        ]
        losses = torch.cat(both)
        return losses.sum() / max(len(losses), 1)

    def _keep(self, features: Tensor, labels: Tensor) -> None:
        for label in labels.unique().tolist():
            own = features[labels == label].to(self.dictionary)
            self.dictionary[label] = torch.cat([self.dictionary[label], own])[-self.config.entries :]
            self.filled[label] = (self.filled[label] + len(own)).clamp(max=self.config.entries)


class DualPrototypical(HeadConfig):
    """Dual prototypical contrast (arXiv 2111.04982) of windows of events, beside a linear classifier.

    L = L_class + specific L_cs + agnostic L_ca. L_cs: each window against a dictionary of the last windows of every
    class, which are constants; L_ca: each window as the query of an episode, whose support are the other windows of
    its class and whose background all of other classes. Reconstructed from the abstract: the authors' code could not
    be had, and weights and size are ours. A large dictionary goes stale where encoders move fast; it has no entry
    before the second batch.
    """

    kind: Literal["dual_prototypical"] = "dual_prototypical"
    """Prototypes of windows against kept ones and within an episode."""
    specific: float = Field(default=1.0, ge=0)
    """Weight lambda_1 of the contrast with the dictionary."""
    agnostic: float = Field(default=1.0, ge=0)
    """Weight lambda_2 of the contrast within the episode."""
    entries: int = Field(default=8, ge=1, le=1024)
    """Windows Q of each class that are kept."""
    temperature: float = Field(default=0.1, ge=0.01)
    """Temperature tau of both."""

    def classifier(self, width: int, num_classes: int) -> nn.Linear:
        return nn.Linear(width, num_classes)

    def criterion(self, target: Target, classifier: nn.Module, class_loss: ClassLoss) -> DualPrototypicalCriterion:
        return DualPrototypicalCriterion(self, target, class_loss)
