import math
import statistics
from dataclasses import replace

import pytest
import torch

from pipeline.objectives.neighbourhood import Neighbourhood, NeighbourhoodLoss, neighbourhood_loss
from pipeline.objectives.spec import Projection
from pipeline.types import Embeddings, Links
from tests.references import fixture_a

EVERYBODY = torch.ones(6, dtype=torch.bool)
PHOTOGRAPHED = torch.tensor([True, True, True, False, True, True])
SPANS = torch.tensor([[1, 0, 10], [1, 5, 15], [1, 10, 20], [1, 30, 40], [2, 0, 10], [2, 0, 10]])
"""Windows 0 & 1, 1 & 2 and 4 & 5 overlap; 4 has no link, and 3 has one at half the weight of another."""
WEIGHT = torch.zeros(6, 6)
WEIGHT[[0, 1, 2, 2, 3, 0], [1, 0, 0, 3, 2, 2]] = torch.tensor([1.0, 1.0, 1.0, 0.5, 0.5, 1.0])


def batch(**changes: object) -> Embeddings:
    first, second = fixture_a()
    found = Embeddings(
        torch.arange(6),
        {"imu": first[None], "photo": torch.stack([second, second.flip(1)])},
        {"imu": EVERYBODY, "photo": PHOTOGRAPHED},
        {"imu": torch.arange(6), "photo": torch.tensor([0, 1, 2, 3, 4, 0])},  # 0 and 5 hold the same photo
        links=Links(WEIGHT, ~torch.eye(6, dtype=torch.bool)),
        spans=SPANS,
    )
    return replace(found, **changes)


def built(**settings: object) -> NeighbourhoodLoss:
    config = Neighbourhood.model_validate({"relation": "near", "projection": Projection(dim=4), **settings})
    return config.build(["imu", "photo"]).double()


def scores(z: torch.Tensor, present: torch.Tensor) -> torch.Tensor:
    """Each dimension over those who are there."""
    columns = [[float(z[i, k]) for i in range(6) if present[i]] for k in range(z.shape[1])]
    means = [statistics.fmean(column) for column in columns]
    spread = [math.sqrt(statistics.pvariance(column) + 1e-5) for column in columns]
    return (z - z.new_tensor(means)) / z.new_tensor(spread)


def loop(loss: NeighbourhoodLoss, anchors: str, others: str, *, w: float, standardize: bool) -> float:
    """Over anchors and views, one pair at a time."""
    found, apart = batch(), {(0, 1), (1, 2), (4, 5)} | ({(0, 5)} if "photo" in (anchors, others) else set())
    of_pair = loss.get_submodule(f"discriminators.{anchors}-{others}").state_dict()
    losses = []
    for view, a in enumerate(found.views[anchors]):
        b = found.views[others][min(view, len(found.views[others]) - 1)]
        if standardize:
            a, b = scores(a, found.present[anchors]), scores(b, found.present[others])

        def chance(i: int, j: int, a: torch.Tensor = a, b: torch.Tensor = b) -> float:
            hidden = (of_pair["hidden.weight"] @ torch.cat([a[i], b[j]]) + of_pair["hidden.bias"]).clamp(min=0)
            return float(torch.sigmoid(of_pair["logit.weight"] @ hidden + of_pair["logit.bias"]))

        for i in range(6):
            here = [j for j in range(6) if found.present[anchors][i] and found.present[others][j] and j != i]
            near = {j: float(WEIGHT[i, j]) for j in here if WEIGHT[i, j] > 0}
            far = [j for j in here if j not in near and (min(i, j), max(i, j)) not in apart]
            if near:
                positive = sum(share * -math.log(chance(i, j)) for j, share in near.items()) / sum(near.values())
                unlabelled = [-w * math.log(chance(i, j)) - (1 - w) * math.log(1 - chance(i, j)) for j in far]
                losses.append((positive + sum(unlabelled) / max(1, len(far))) / 2)
    return sum(losses) / len(losses)


@pytest.mark.parametrize("standardize", [True, False])
def test_terms_equal_the_loop_over_pairs(standardize: bool) -> None:
    loss = built(pairs="both", unlabelled=0.2, standardize=standardize)

    terms = loss(batch()).terms

    def expected(anchors: str, others: str) -> float:
        return loop(loss, anchors, others, w=0.2, standardize=standardize)

    assert {name: term.item() for name, term in terms.items()} == pytest.approx(
        {
            "imu": expected("imu", "imu"),
            "photo": expected("photo", "photo"),
            "imu-photo": (expected("imu", "photo") + 2 * expected("photo", "imu")) / 3,  # one view, and two
        },
        rel=1e-6,
    )


def test_loss_equals_published_value() -> None:
    logits, own = torch.tensor([[1.0, -1.0], [0.2, 0.5]], dtype=torch.float64), torch.eye(2)

    loss = neighbourhood_loss(logits, own, own == 0, near=0.05)

    assert loss.item() == pytest.approx(0.96936961 / 2, abs=1e-8)


def _loss_after(steps: int, *, standardize: bool) -> float:
    """Of a discriminator alone, for embeddings of two kinds that have one large direction in common."""
    torch.manual_seed(0)
    size, kind = 32, torch.arange(32) % 2
    z = torch.nn.functional.normalize(
        30 + torch.randn(2, 4, dtype=torch.float64)[kind] + 0.1 * torch.randn(size, 4), dim=1
    )
    found = Embeddings(
        torch.arange(size),
        {"imu": z[None]},
        {"imu": torch.ones(size, dtype=torch.bool)},
        {"imu": torch.arange(size)},
        links=Links((kind[:, None] == kind).double(), ~torch.eye(size, dtype=torch.bool)),
    )
    config = Neighbourhood(relation="near", projection=Projection(dim=4), standardize=standardize, unlabelled=0)
    loss = config.build(["imu"]).double()
    optimizer = torch.optim.Adam(loss.parameters(), lr=2e-3)
    for _ in range(steps):
        optimizer.zero_grad()
        loss(found).total().backward()
        optimizer.step()
    return loss(found).total().item()


def test_a_direction_that_all_share_hides_no_neighbour() -> None:
    assert _loss_after(100, standardize=True) < 0.3
    assert _loss_after(100, standardize=False) > 0.65


def test_unlabelled_weight_is_where_the_loss_of_a_non_neighbour_is_least() -> None:
    logit = torch.tensor([[0.0, -2.0]], dtype=torch.float64, requires_grad=True)
    weight, near = torch.tensor([[1.0, 0.0]]), torch.sigmoid(torch.tensor(-2.0)).item()

    neighbourhood_loss(logit, weight, weight == 0, near=near).backward()

    assert logit.grad is not None
    assert logit.grad[0, 0] < 0
    assert logit.grad[0, 1].abs() < 1e-8


def test_share_of_anchors_with_a_neighbour_is_a_monitor() -> None:
    loss = built()

    assert loss.monitors(batch()) == {"frac_anchors_with_pos": pytest.approx((4 + 2 * 3) / (6 + 2 * 5))}
    assert loss.monitors(batch(links=None)) == {}
