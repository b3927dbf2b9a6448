"""Losses of class logits: the cross-entropy and one that bears wrong labels, for classes of equal or unequal size."""

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.evaluate.finetune_config import FinetuneConfig, Loss
from pipeline.types import LossTerms

Q = 0.7
"""Of the generalized cross-entropy, as its authors use it: 0 would be the cross-entropy, 1 the mean absolute error."""


@dataclass(frozen=True)
class ClassLoss:
    """Mean loss of logits (B, K) for labels (B,), over the weights of the labels where classes have weights.

    weights: (K,) factor of each class. log_priors: (K,) is added to the logits, in training alone.
    """

    kind: Loss = "cross_entropy"
    label_smoothing: float = 0.1
    weights: Tensor | None = None
    log_priors: Tensor | None = None

    def __call__(self, logits: Tensor, labels: Tensor) -> LossTerms:
        """One term, named for the kind."""
        weights = None if self.weights is None else self.weights.to(logits)
        if self.log_priors is not None:
            logits = logits + self.log_priors.to(logits)
        loss = functional.cross_entropy if self.kind == "cross_entropy" else generalized_cross_entropy
        return LossTerms({self.kind: loss(logits, labels, weight=weights, label_smoothing=self.label_smoothing)})


def class_loss(config: FinetuneConfig, counts: Tensor) -> ClassLoss:
    """The loss that a configuration asks for. counts: (K,) labelled training samples of each class."""
    return ClassLoss(
        config.loss,
        config.label_smoothing if config.head.reads_class_loss else 0.0,
        weights=inverse_frequencies(counts) if config.balance == "weights" else None,
        log_priors=log_priors(counts) if config.balance == "logit_adjustment" else None,
    )


def inverse_frequencies(counts: Tensor) -> Tensor:
    """n / (c n_k) for counts n_k (K,) of c classes that occur, so that each weighs the same; 0 for the others.

    >>> inverse_frequencies(torch.tensor([1, 0, 3])).tolist()
    [2.0, 0.0, 0.6666666865348816]
    """
    occurs = counts > 0
    return torch.where(occurs, counts.sum() / (occurs.sum() * counts.clamp(min=1)), 0.0)


def log_priors(counts: Tensor) -> Tensor:
    """log pi_k, which the softmax cross-entropy adds to the logits for its minimum to lie at the balanced error
    (logit-adjusted loss, arXiv 2007.07314, equation 10, tau = 1). Of counts (K,); none counts as one.

    >>> log_priors(torch.tensor([1, 3])).exp().tolist()
    [0.25, 0.75]
    """
    counts = counts.clamp(min=1).double()
    return (counts / counts.sum()).log().float()


def generalized_cross_entropy(
    logits: Tensor, labels: Tensor, *, weight: Tensor | None = None, label_smoothing: float = 0.0, q: float = Q
) -> Tensor:
    """(1 - p_y^q) / q of the softmax p, which a sample that is surely wrong moves less than the cross-entropy would
    (arXiv 1805.07836, equation 6). Weights and smoothing as torch's cross-entropy has them, its limit for q -> 0.

    >>> round(float(generalized_cross_entropy(torch.zeros(1, 2), torch.tensor([0]), q=1.0)), 3)
    0.5
    """
    num_classes = logits.shape[1]
    losses = -torch.expm1(q * logits.log_softmax(dim=1)) / q  # of the logarithm: p^q has no gradient at 0
    target = functional.one_hot(labels, num_classes) * (1 - label_smoothing) + label_smoothing / num_classes
    weight = logits.new_ones(num_classes) if weight is None else weight
    return (target * weight * losses).sum() / weight[labels].sum()
