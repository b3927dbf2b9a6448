"""Fixture A as heads see it: the values every published number of the heads was computed with."""

import torch
from torch import Tensor
from torch.nn import functional

from pipeline.heads.spec import Supervised
from tests.references import fixture_a, fixture_w


def labels_a() -> Tensor:
    return torch.tensor(fixture_w()[1])


def features_a() -> Tensor:
    return fixture_a()[0]


def cosines_a() -> Tensor:
    """(6, 3) cosines of features and class weights."""
    return functional.normalize(fixture_a()[0], dim=1) @ functional.normalize(fixture_w()[0], dim=1).T


def supervised(logits: Tensor, *features: Tensor, labels: Tensor, step: int = 0, seed: int = 0) -> Supervised:
    generator = torch.Generator().manual_seed(seed)
    return Supervised(logits, labels, torch.arange(len(labels)), step, generator, features)
