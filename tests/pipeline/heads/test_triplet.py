import math

import pytest
import torch

from pipeline.heads.attribute_heads import AttributeHeads
from pipeline.heads.spec import Target
from pipeline.heads.triplet import Triplet, batch_hard
from tests.contracts.head_examples import class_loss
from tests.head_fixtures import cosines_a, features_a, labels_a, supervised

UNEVEN = [0, 1, 0, 0, 2, 1]


@pytest.mark.parametrize(("margin", "expected"), [(0.3, 0.14856180), (None, 0.53669382)])
def test_equals_published_values(margin: float | None, expected: float) -> None:
    assert abs(batch_hard(features_a(), labels_a(), margin=margin).item() - expected) < 1e-6


@pytest.mark.parametrize("margin", [0.3, 2.0, None])
def test_equals_loop(margin: float | None) -> None:
    x, losses = features_a(), []
    for i in range(6):
        distance = [float((x[i] - x[j]).norm()) for j in range(6)]
        positive = [d for j, d in enumerate(distance) if j != i and UNEVEN[j] == UNEVEN[i]]
        negative = [d for j, d in enumerate(distance) if UNEVEN[j] != UNEVEN[i]]
        if positive and negative:
            excess = max(positive) - min(negative)
            losses.append(math.log1p(math.exp(excess)) if margin is None else max(0.0, excess + margin))

    found = batch_hard(x, torch.tensor(UNEVEN), margin=margin)

    assert found.item() == pytest.approx(sum(losses) / len(losses), abs=1e-9)


def test_triplets_have_the_gradient_along_the_features_that_the_softmax_lacks() -> None:
    x = features_a().requires_grad_()

    batch_hard(x, labels_a(), margin=0.3).backward()

    assert x.grad is not None
    assert (x.grad * x.detach()).sum(dim=1).abs().max().item() == pytest.approx(0.16980048, abs=1e-6)


def test_terms_are_the_softmax_the_triplets_and_each_attribute() -> None:
    head = Triplet(attributes=("device",), attribute_weight=0.5).build(Target(4, 3, {"device": 2}), class_loss)
    head.criterion.double()
    device = torch.tensor([0, 1, -1, 1, -1, -1])
    batch = supervised(30 * cosines_a(), features_a(), labels=labels_a())
    batch = type(batch)(**{**vars(batch), "attributes": {"device": device}})
    heads = next(module for module in head.criterion.modules() if isinstance(module, AttributeHeads))
    logits = heads.heads["device"](features_a())
    expected = -sum(logits.log_softmax(dim=1)[i, device[i]].item() for i in (0, 1, 3)) / 3

    terms = {name: loss.item() for name, loss in head.loss(batch).terms.items()}

    assert list(terms) == ["softmax", "pairs", "attribute_device"]
    assert terms["pairs"] == pytest.approx(0.14856180, abs=1e-6)
    assert terms["attribute_device"] == pytest.approx(0.5 * expected, abs=1e-9)
