import math

import pytest
import torch

from pipeline.heads.contra import ContraLoss, Form, class_divergence, log_share_of_class
from tests.head_fixtures import features_a, labels_a
from tests.references import cosine

UNEVEN = [0, 1, 0, 0, 2, 1]


@pytest.mark.parametrize(("form", "expected"), [("kl", 1.06842554), ("sum", 0.30786395)])
def test_equals_published_values(form: Form, expected: float) -> None:
    assert abs(ContraLoss(form, 0.1)(features_a(), labels_a(), torch.Generator()).item() - expected) < 1e-6


def test_share_equals_loop() -> None:
    x, expected = features_a(), []
    for i in range(6):
        weights = {j: math.exp(cosine(x[i], x[j]) / 0.3) for j in range(6) if j != i}
        own = sum(weight for j, weight in weights.items() if UNEVEN[j] == UNEVEN[i])
        expected.append(-math.log(own / sum(weights.values())) if own else 0.0)

    losses = log_share_of_class(x, torch.tensor(UNEVEN), temperature=0.3)

    assert losses.tolist() == pytest.approx(expected, abs=1e-9)


def test_divergence_equals_loop() -> None:
    x, expected = features_a(), []
    for i in range(6):
        wanted = [math.exp((UNEVEN[j] == UNEVEN[i]) / 0.3) for j in range(6)]
        found = [math.exp(cosine(x[i], x[j]) / 0.3) for j in range(6)]
        p, q = [w / sum(wanted) for w in wanted], [f / sum(found) for f in found]
        expected.append(sum(a * math.log(a / b) for a, b in zip(p, q, strict=True)))

    losses = class_divergence(x, torch.tensor(UNEVEN), temperature=0.3)

    assert losses.tolist() == pytest.approx(expected, abs=1e-9)
