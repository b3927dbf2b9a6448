import math

import pytest
import torch
from torch import Tensor

from pipeline.objectives.info_nce import normalize
from pipeline.objectives.spec import Projection
from pipeline.objectives.swapped import Swapped, sinkhorn_codes
from pipeline.types import Embeddings
from tests.references import fixture_a, fixture_w, standard_scores_loop

HERE = [0, 1, 3, 5]
SOME = torch.tensor([i in HERE for i in range(6)])


def sinkhorn_loop(scores: list[list[float]], epsilon: float, iterations: int) -> list[list[float]]:
    """Clusters, then samples, are scaled to equal mass, entry by entry."""
    q = [[math.exp(value / epsilon) for value in row] for row in scores]
    num, clusters = len(q), len(q[0])
    for _ in range(iterations):
        for k in range(clusters):
            mass = sum(row[k] for row in q)
            for row in q:
                row[k] /= mass * clusters
        for row in q:
            mass = sum(row)
            row[:] = [value / mass / num for value in row]
    return [[value * num for value in row] for row in q]


def swapped_loop(a: list[list[float]], b: list[list[float]], config: Swapped) -> float:
    losses = []
    for scores, dealt in ((a, b), (b, a)):
        codes = sinkhorn_loop(dealt, config.epsilon, config.iterations)
        for row, code in zip(scores, codes, strict=True):
            total = sum(math.exp(value / config.temperature) for value in row)
            losses.append(-sum(q * (s / config.temperature - math.log(total)) for q, s in zip(code, row, strict=True)))
    return sum(losses) / len(losses)


def scores_of(z: Tensor) -> Tensor:
    return normalize(z) @ normalize(fixture_w()[0]).T


@pytest.mark.parametrize("iterations", [1, 3])
def test_codes_equal_loop_over_the_present_samples(iterations: int) -> None:
    scores = scores_of(fixture_a()[0])
    expected = torch.tensor(sinkhorn_loop(scores[HERE].tolist(), 0.05, iterations), dtype=torch.float64)

    codes = sinkhorn_codes(scores, SOME, epsilon=0.05, iterations=iterations)

    torch.testing.assert_close(codes[HERE], expected, rtol=0, atol=1e-12)
    assert codes[~SOME].abs().max() == 0


def test_clusters_get_equal_shares_however_alike_the_samples_are() -> None:
    generator = torch.Generator().manual_seed(0)
    scores = 0.9 + 0.01 * torch.randn(64, 4, generator=generator)

    codes = sinkhorn_codes(scores, torch.ones(64, dtype=torch.bool), epsilon=0.01, iterations=50)

    torch.testing.assert_close(codes.sum(dim=0), torch.full((4,), 16.0), rtol=1e-3, atol=0)


def test_sharp_codes_of_one_direction_do_not_underflow() -> None:
    scores = torch.tensor([[1.0, -1.0], [1.0, -1.0]])

    codes = sinkhorn_codes(scores, torch.ones(2, dtype=torch.bool), epsilon=0.01, iterations=3)

    torch.testing.assert_close(codes, torch.full((2, 2), 0.5))


@pytest.mark.parametrize("standardize", [False, True])
@pytest.mark.parametrize("across", ["views", "streams"])
def test_loss_equals_loop_where_a_sample_has_both_sides(across: str, standardize: bool) -> None:
    first, second = fixture_a()
    idx, everybody = torch.arange(6), torch.ones(6, dtype=torch.bool)
    if across == "views":
        found = Embeddings(idx, {"s": torch.stack([first, second])}, {"s": SOME}, {"s": idx})
    else:
        present = {"s": everybody, "t": SOME}
        found = Embeddings(idx, {"s": first[None], "t": second[None]}, present, {"s": idx, "t": idx})
    given = {"across": across, "prototypes": 3, "projection": Projection(dim=4), "standardize": standardize}
    config = Swapped.model_validate(given)
    loss = config.build(list(found.views)).double()
    if standardize:
        first, second = (standard_scores_loop(z, HERE) for z in (first, second))
    with torch.no_grad():
        next(loss.parameters()).copy_(fixture_w()[0])
    expected = swapped_loop(scores_of(first[HERE]).tolist(), scores_of(second[HERE]).tolist(), config)

    assert len(list(loss.parameters())) == 1
    assert loss(found).total().item() == pytest.approx(expected, abs=1e-9)


def test_codes_are_constants() -> None:
    z = fixture_a()[0].requires_grad_()

    assert not sinkhorn_codes(scores_of(z), SOME, epsilon=0.05, iterations=3).requires_grad
