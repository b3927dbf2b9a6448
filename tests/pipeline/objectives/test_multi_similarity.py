import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from pipeline.objectives.multi_similarity import multi_similarity
from tests.references import fixture_a, fixture_w, multi_similarity_loop

EDGES = ((0, 3), (1, 4), (2, 5), (0, 1))


def cosines() -> Tensor:
    first = functional.normalize(fixture_a()[0], dim=1)
    return first @ first.T


def graph() -> Tensor:
    weight = torch.zeros(6, 6, dtype=torch.float64)
    for i, j in EDGES:
        weight[i, j] = weight[j, i] = 1.0
    return weight


def others(weight: Tensor) -> Tensor:
    return (weight == 0) & ~torch.eye(len(weight), dtype=torch.bool)


@pytest.mark.parametrize(
    ("scales", "threshold", "mining", "expected"),
    [
        ((1, 1), 0.1, 10.0, 2.8294854),
        ((2, 40), 0.5, 0.1, 1.4699655),
        ((2, 2), 0.5, 0.1, 1.9088239),
        ((2, 40), 0.5, None, 1.4769106),
    ],
)
def test_on_a_graph_equals_published_values(
    scales: tuple[float, float], threshold: float, mining: float | None, expected: float
) -> None:
    losses, kept = multi_similarity(
        cosines(), graph(), others(graph()), scales=scales, threshold=threshold, mining=mining
    )

    assert abs(float(losses[kept].mean()) - expected) < 1e-6


@pytest.mark.parametrize(
    ("repel_scale", "threshold", "mining", "by_batch", "by_kept"),
    [(50, 0.5, None, 0.33841447, None), (40, 0.5, 0.1, 0.19077489, 0.38154977), (50, 1.0, 0.1, 0.28056177, None)],
)
def test_on_labels_equals_published_values(
    repel_scale: float, threshold: float, mining: float | None, by_batch: float, by_kept: float | None
) -> None:
    labels = torch.tensor(fixture_w()[1])
    same = (labels[:, None] == labels) & ~torch.eye(6, dtype=torch.bool)

    losses, kept = multi_similarity(
        cosines(),
        same.double(),
        labels[:, None] != labels,
        scales=(2, repel_scale),
        threshold=threshold,
        mining=mining,
    )

    assert abs(float(losses.sum()) / 6 - by_batch) < 1e-6
    assert by_kept is None or abs(float(losses[kept].mean()) - by_kept) < 1e-6


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 999), mining=st.sampled_from([None, 0.0, 0.1, 10.0]), density=st.sampled_from([0.1, 0.4]))
def test_equals_loop_with_weighted_edges(seed: int, mining: float | None, density: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    similarity = (2 * torch.rand(5, 7, generator=generator, dtype=torch.float64) - 1).requires_grad_()
    weight = torch.rand(5, 7, generator=generator) * (torch.rand(5, 7, generator=generator) < density)
    negatives = (torch.rand(5, 7, generator=generator) < 0.5) & (weight == 0)
    expected = multi_similarity_loop(
        similarity.detach(), weight.double(), negatives, scales=(2, 40), threshold=0.5, mining=mining
    )

    losses, kept = multi_similarity(similarity, weight, negatives, scales=(2, 40), threshold=0.5, mining=mining)
    (gradient,) = torch.autograd.grad(losses.sum(), similarity)

    assert kept.tolist() == [loss is not None for loss in expected]
    assert losses.tolist() == pytest.approx([loss or 0.0 for loss in expected], abs=1e-9)
    assert gradient.isfinite().all()


def test_an_edge_moves_one_similarity_from_the_negative_to_the_positive_sum() -> None:
    s = cosines().requires_grad_()
    more = graph()
    more[0, 5] = 1.0

    slopes = []
    for weight in (graph(), more):
        losses, _ = multi_similarity(s, weight, others(weight), scales=(2, 40), threshold=0.5, mining=None)
        slopes.append(torch.autograd.grad(losses.sum(), s)[0].sign())

    assert (slopes[0] != slopes[1]).nonzero().tolist() == [[0, 5]]
    assert slopes[0][0, 5] == 1
    assert slopes[1][0, 5] == -1
