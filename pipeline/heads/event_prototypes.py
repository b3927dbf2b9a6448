"""Prototypes of events in time: means over the steps of a window that a class has, and over the rest of the window.

Axes: B windows, S positions in time, D features, C classes, N queries.
"""

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.heads.spec import Steps
from pipeline.objectives.info_nce import product


@dataclass(frozen=True)
class Events:
    """foreground, background: (B, C, D), the means of the positions of a class and of those of all other classes.

    has, has_rest: (B, C) bool, where a window has such positions. Unknown classes are neither.
    """

    foreground: Tensor
    background: Tensor
    has: Tensor
    has_rest: Tensor


class Episode(NamedTuple):
    """query, support: (N, D). background: (N, 2, D), of the supports and of the query's own window, where known."""

    query: Tensor
    support: Tensor
    background: Tensor
    known: Tensor


def events_of(steps: Steps, num_classes: int) -> Events:
    """Masked average pools over time of every class in every window."""
    known = steps.classes >= 0
    mask = functional.one_hot(steps.classes.clamp(min=0), num_classes) * known[:, :, None]
    sums = product(mask.to(steps.features.dtype).transpose(1, 2), steps.features)
    counts = mask.sum(dim=1)
    rest, num_rest = sums.sum(dim=1, keepdim=True) - sums, counts.sum(dim=1, keepdim=True) - counts
    return Events(
        sums / counts.clamp(min=1)[:, :, None], rest / num_rest.clamp(min=1)[:, :, None], counts > 0, num_rest > 0
    )


def episode_of(events: Events, is_query: Tensor) -> Episode:
    """Every event of the query windows (B,) bool whose class is in a support window, which all others are.

    Its support is the mean of the foregrounds of the support windows that have the class, and the first background that
    of their backgrounds.
    """
    shots = events.has & ~is_query[:, None]
    rests = shots & events.has_rest
    support, background = _mean(events.foreground, shots), _mean(events.background, rests)
    chosen = events.has & is_query[:, None] & shots.any(dim=0)
    of = chosen.nonzero()[:, 1]
    return Episode(
        events.foreground[chosen],
        support[of],
        torch.stack([background[of], events.background[chosen]], dim=1),
        torch.stack([rests.any(dim=0)[of], events.has_rest[chosen]], dim=1),
    )


def _mean(prototypes: Tensor, windows: Tensor) -> Tensor:
    """(C, D) over the windows (B, C) bool; 0 where there are none."""
    return (prototypes * windows[:, :, None]).sum(dim=0) / windows.sum(dim=0).clamp(min=1)[:, None]
