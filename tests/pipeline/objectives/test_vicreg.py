import math

import pytest
import torch
from torch import Tensor

from pipeline.objectives.vicreg import VicReg
from pipeline.types import Embeddings
from tests.references import fixture_a

HERE = [0, 1, 3, 5]


def embeddings(first: Tensor, second: Tensor, present: list[int]) -> Embeddings:
    mask = torch.zeros(len(first), dtype=torch.bool)
    mask[present] = True
    idx = torch.arange(len(first))
    return Embeddings(idx, {"s": torch.stack([first, second])}, {"s": mask}, {"s": idx})


def vicreg_loop(first: Tensor, second: Tensor) -> float:
    """Entry by entry, weights 25, 25, 1."""
    num, dim = first.shape
    invariance = sum(float(first[i, j] - second[i, j]) ** 2 for i in range(num) for j in range(dim)) / num / dim
    variance = covariance = 0.0
    for z in (first, second):
        mean = [sum(float(z[i, j]) for i in range(num)) / num for j in range(dim)]
        for j in range(dim):
            for k in range(dim):
                shared = sum((float(z[i, j]) - mean[j]) * (float(z[i, k]) - mean[k]) for i in range(num)) / (num - 1)
                if j == k:
                    variance += max(0.0, 1 - math.sqrt(shared + 1e-4)) / dim
                else:
                    covariance += shared**2 / dim
    return 25 * invariance + 25 * variance / 2 + covariance


def test_loss_equals_published_value() -> None:
    loss = VicReg().build(["s"])(embeddings(*fixture_a(), list(range(6)))).total()

    assert abs(float(loss) - 25.83753524) < 1e-6


def test_statistics_are_those_of_the_present_samples() -> None:
    first, second = fixture_a()

    loss = VicReg().build(["s"])(embeddings(first, second, HERE)).total()

    assert float(loss) == pytest.approx(vicreg_loop(first[HERE], second[HERE]), abs=1e-9)


def test_one_sample_has_no_variance_but_still_agrees_with_itself() -> None:
    first, second = fixture_a()

    loss = VicReg().build(["s"])(embeddings(first, second, [2])).total()

    assert float(loss) == pytest.approx(25 * float((first[2] - second[2]).square().mean()), abs=1e-9)


def test_streams_are_compared_where_a_sample_has_both() -> None:
    first, second = fixture_a()
    idx, everybody = torch.arange(6), torch.ones(6, dtype=torch.bool)
    some = everybody.clone()
    some[[2, 4]] = False
    found = Embeddings(idx, {"a": first[None], "b": second[None]}, {"a": everybody, "b": some}, {"a": idx, "b": idx})
    config = VicReg(across="streams")

    terms = config.build(["a", "b"])(found).terms

    assert config.num_views == 1
    assert float(terms["a-b"]) == pytest.approx(vicreg_loop(first[HERE], second[HERE]), abs=1e-9)
