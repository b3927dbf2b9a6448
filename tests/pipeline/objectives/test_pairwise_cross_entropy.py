import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from pipeline.objectives.block_spread import class_means
from pipeline.objectives.pairwise_cross_entropy import pairwise_cross_entropy
from tests.references import fixture_a, fixture_w, pairwise_cross_entropy_loop


def test_equals_published_values() -> None:
    first, _ = fixture_a()
    labels = torch.tensor(fixture_w()[1])

    raw = pairwise_cross_entropy(first, labels, num_classes=3)
    unit = pairwise_cross_entropy(functional.normalize(first, dim=1), labels, num_classes=3)

    assert abs(float(raw) - 0.65788157) < 1e-6
    assert abs(float(unit) - 0.86171900) < 1e-6


@settings(max_examples=30, deadline=None)
@given(labels=st.lists(st.integers(0, 4), min_size=6, max_size=6))
def test_equals_loop_and_cross_entropy_with_class_sums_as_weights(labels: list[int]) -> None:
    first, _ = fixture_a()
    y = torch.tensor(labels)
    present, inverse = y.unique(return_inverse=True)
    weights = torch.stack([first[inverse == c].sum(dim=0) / 6 for c in range(len(present))])
    as_classifier = functional.cross_entropy(first @ weights.T, inverse)

    actual = float(pairwise_cross_entropy(first, y, num_classes=5))

    assert actual == pytest.approx(pairwise_cross_entropy_loop(first, labels), abs=1e-9)
    assert actual == pytest.approx(float(as_classifier), abs=1e-9)


def test_temperature_makes_the_classes_means_and_unlabelled_rows_take_no_part() -> None:
    first = functional.normalize(fixture_a()[0], dim=1).requires_grad_()
    labels = torch.tensor([0, 0, 1, -1, 1, 1])
    kept = [0, 1, 2, 4, 5]
    means = torch.stack([first[[0, 1]].mean(dim=0), first[[2, 4, 5]].mean(dim=0)])
    expected = functional.cross_entropy(first[kept] @ means.T / 0.2, labels[kept])

    actual = pairwise_cross_entropy(first, labels, num_classes=2, temperature=0.2)
    nobody = pairwise_cross_entropy(first, torch.full((6,), -1), num_classes=2, temperature=0.2)

    torch.testing.assert_close(actual, expected)
    torch.testing.assert_close(torch.autograd.grad(actual, first)[0], torch.autograd.grad(expected, first)[0])
    assert nobody.item() == 0.0
    assert torch.autograd.grad(nobody, first)[0].abs().max() == 0


def test_class_sums_over_the_ridge_minimise_the_tightness_of_cross_entropy() -> None:
    """-(1/n) sum_i z_i theta_{y_i} + (lambda/2) sum_k |theta_k|^2 has its minimum, a published value, at the class sums
    over lambda n (arXiv 2003.08983, section 4): the weights that take the place of a classifier."""
    z, ridge = fixture_a()[0], 0.1
    labels = torch.tensor(fixture_w()[1])
    means, counts = class_means(z, labels, 3)
    best = means * counts[:, None] / (ridge * len(z))

    def tightness(theta: torch.Tensor) -> float:
        return float(-(z * theta[labels]).sum() / len(z) + ridge / 2 * theta.square().sum())

    assert tightness(best) == pytest.approx(-2.82453991, abs=1e-6)
    others = torch.randn(20, *best.shape, generator=torch.Generator().manual_seed(0), dtype=best.dtype)
    assert min(tightness(best + 0.01 * other) for other in others) > tightness(best)
