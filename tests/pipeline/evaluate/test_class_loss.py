import math

import pytest
import torch
from torch.nn import functional

from pipeline.evaluate.class_loss import ClassLoss, class_loss, generalized_cross_entropy
from pipeline.evaluate.finetune_config import Balance, FinetuneConfig

COUNTS = torch.tensor([6, 3, 1, 0])
LABELS = torch.tensor([0, 0, 1, 2, 0, 1])


@pytest.fixture
def logits() -> torch.Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def loss_of(balance: Balance | None, logits: torch.Tensor) -> float:
    loss = class_loss(FinetuneConfig(label_smoothing=0.0, balance=balance), COUNTS)
    return float(loss(logits, LABELS).terms["cross_entropy"])


def test_inverse_frequencies_weigh_every_class_that_occurs_the_same(logits: torch.Tensor) -> None:
    weights = [10 / (3 * 6), 10 / (3 * 3), 10 / (3 * 1)]
    total, norm = 0.0, 0.0
    for row, y in zip(logits.tolist(), LABELS.tolist(), strict=True):
        total += weights[y] * (math.log(sum(math.exp(f) for f in row)) - row[y])
        norm += weights[y]

    assert loss_of("weights", logits) == pytest.approx(total / norm, rel=1e-6)


def test_logit_adjustment_is_equation_10(logits: torch.Tensor) -> None:
    prior = [6 / 11, 3 / 11, 1 / 11, 1 / 11]  # the class without labels counts as one
    total = 0.0
    for row, y in zip(logits.tolist(), LABELS.tolist(), strict=True):
        others = [k for k in range(4) if k != y]
        total += math.log(1 + sum(prior[k] / prior[y] * math.exp(row[k] - row[y]) for k in others))

    assert loss_of("logit_adjustment", logits) == pytest.approx(total / 6, rel=1e-6)


def test_without_balance_it_is_the_plain_cross_entropy(logits: torch.Tensor) -> None:
    assert loss_of(None, logits) == float(functional.cross_entropy(logits, LABELS))


def test_logits_trained_with_the_adjustment_have_the_balanced_optimum() -> None:
    """Two indistinguishable classes, 9 to 1: the plain loss prefers the larger, the adjusted one neither."""
    labels, counts = torch.tensor([0] * 9 + [1]), torch.tensor([9, 1])
    found = {}
    for balance in (None, "weights", "logit_adjustment"):
        loss = class_loss(FinetuneConfig(label_smoothing=0.0, balance=balance), counts)
        shared = torch.zeros(2, requires_grad=True)
        optimizer = torch.optim.SGD([shared], lr=1.0)
        for _ in range(300):
            optimizer.zero_grad()
            loss(shared.expand(10, 2), labels).total().backward()
            optimizer.step()
        found[balance] = float(shared.detach().softmax(dim=0)[0])

    assert found == pytest.approx({None: 0.9, "weights": 0.5, "logit_adjustment": 0.5}, abs=1e-3)


def test_generalized_cross_entropy_is_equation_6(logits: torch.Tensor) -> None:
    total = 0.0
    for row, y in zip(logits.tolist(), LABELS.tolist(), strict=True):
        p = math.exp(row[y]) / sum(math.exp(f) for f in row)
        total += (1 - p**0.7) / 0.7

    terms = ClassLoss("generalized_cross_entropy", label_smoothing=0.0)(logits, LABELS).terms

    assert float(terms["generalized_cross_entropy"]) == pytest.approx(total / 6, rel=1e-9)


def test_its_limit_is_the_cross_entropy_with_weights_and_smoothing(logits: torch.Tensor) -> None:
    weight = torch.tensor([0.5, 1.0, 3.0, 0.0], dtype=torch.float64)
    expected = functional.cross_entropy(logits, LABELS, weight=weight, label_smoothing=0.2)

    actual = generalized_cross_entropy(logits, LABELS, weight=weight, label_smoothing=0.2, q=1e-7)

    torch.testing.assert_close(actual, expected, rtol=1e-5, atol=0)


def test_a_label_that_is_surely_wrong_pulls_less_and_never_gives_nan() -> None:
    pulls = []
    for loss in (functional.cross_entropy, generalized_cross_entropy):
        logits = torch.tensor([[200.0, -200.0]], requires_grad=True)
        loss(logits, torch.tensor([1])).backward()
        pulls.append(logits.grad)

    assert pulls[0].abs().max() == pytest.approx(1.0)  # type: ignore[union-attr]
    assert pulls[1].abs().max() < 1e-3  # type: ignore[union-attr]
