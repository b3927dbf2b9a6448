"""Temperature scaling: one number that makes the probabilities of a classifier as sure as it is right."""

import math

from torch import Tensor

LOWEST, HIGHEST = 0.05, 20.0
"""Temperatures are looked for in between: on validation samples without an error the best one would be 0."""
_STEPS = 60


def probabilities(logits: Tensor, temperature: float | None) -> Tensor:
    """softmax(logits / T) of logits (B, K); None leaves them as they are."""
    return (logits if temperature is None else logits / temperature).softmax(dim=1)


def fit_temperature(logits: Tensor, y: Tensor) -> float:
    """The temperature T with the least cross-entropy of softmax(logits / T) (arXiv 1706.04599, section 4.2).

    logits (N, K) and class numbers y (N,) of samples that were not trained on. Their order of classes, and thus every
    prediction, stays. The cross-entropy is convex in 1 / T, so its slope changes sign once: it is bisected.

    >>> import torch
    >>> round(fit_temperature(torch.tensor([[4.0, 0.0]] * 4), torch.tensor([0, 0, 0, 1])), 3)  # 4 / log 3
    3.641
    """
    logits = logits.double()
    right = logits.gather(1, y[:, None])[:, 0]
    low, high = math.log(LOWEST), math.log(HIGHEST)
    for _ in range(_STEPS):
        middle = (low + high) / 2
        expected = (probabilities(logits, math.exp(middle)) * logits).sum(dim=1)
        if bool((expected - right).mean() > 0):  # too sure: 1 / T must fall
            low = middle
        else:
            high = middle
    return math.exp((low + high) / 2)
