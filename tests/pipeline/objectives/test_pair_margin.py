import pytest
import torch
from torch.nn import functional

from pipeline.objectives.cross import CrossModal
from pipeline.objectives.intra import IntraSample
from pipeline.objectives.pair_margin import pair_margin
from pipeline.types import LossTerms
from tests.references import fixture_a
from tests.toy_streams import toy_pretraining

LINKED, APART = ((0, 1), (1, 2), (2, 3)), ((0, 4), (1, 5), (2, 0))


def marked(pairs: tuple[tuple[int, int], ...]) -> torch.Tensor:
    mask = torch.zeros(6, 6, dtype=torch.bool)
    for i, j in pairs:
        mask[i, j] = True
    return mask


@pytest.mark.parametrize(
    ("normalized", "attract_within", "repel_beyond", "expected"),
    [(False, 0.0, 10.0, 4.3007720), (True, 0.0, 1.0, 0.4104456), (True, 0.1, 1.5, 0.3619094)],
)
def test_equals_published_values(normalized: bool, attract_within: float, repel_beyond: float, expected: float) -> None:
    first, _ = fixture_a()
    first = functional.normalize(first, dim=1) if normalized else first
    distance = functional.pairwise_distance(first[:, None], first[None], eps=1e-6)

    losses, kept = pair_margin(
        distance, marked(LINKED), marked(APART), attract_within=attract_within, repel_beyond=repel_beyond
    )

    assert kept.tolist() == [True, True, True, False, False, False]
    assert abs(float(losses[kept].mean()) - expected) < 1e-6


def test_positives_count_by_their_weight_and_anchors_without_a_side_not_at_all() -> None:
    distance = torch.tensor([[0.2, 0.6, 0.5, 1.3]] * 3, dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([[1.0, 3.0, 0, 0], [0, 0, 0, 0], [1, 0, 0, 0]])
    negatives = torch.tensor([[False, False, True, True], [False, True, True, True], [False] * 4])

    losses, kept = pair_margin(distance, weight, negatives, attract_within=0.1, repel_beyond=1.0)
    (gradient,) = torch.autograd.grad(losses.sum(), distance)

    pull, push = (0.1 + 3 * 0.5) / 4, (0.5 + 0.0) / 2
    assert losses.tolist() == pytest.approx([(pull + push) / 2, 0.0, 0.0])
    assert kept.tolist() == [True, False, False]
    assert gradient[0].tolist() == pytest.approx([1 / 8, 3 / 8, -1 / 4, 0.0])
    assert gradient[1:].abs().max() == 0


@pytest.mark.parametrize(("weights", "expected"), [((0.9, 0.1), 1.0600772), ((1.0, 1.0), 2.5003860)])
def test_weighted_total_with_another_objective_equals_published_values(
    weights: tuple[float, float], expected: float
) -> None:
    task = toy_pretraining(objectives=[IntraSample(weight=weights[0]), CrossModal(weight=weights[1])])
    terms = {"intra/a": torch.tensor(0.7).double(), "cross/a-b": torch.tensor(4.3007719606850445).double()}

    assert abs(task.total(LossTerms(terms)).item() - expected) < 1e-6
