import pytest
import torch
from torch.nn import functional

from pipeline.heads.multi_similarity import MultiSimilarity, MultiSimilarityLoss
from tests.head_fixtures import features_a, labels_a
from tests.references import multi_similarity_loop


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        (MultiSimilarity(threshold=0.5, mining=None), 0.33841447),
        (MultiSimilarity(repel_scale=40, threshold=0.5), 0.19077489),
        (MultiSimilarity(), 0.28056177),
    ],
)
def test_equals_published_values(config: MultiSimilarity, expected: float) -> None:
    assert abs(MultiSimilarityLoss(config)(features_a(), labels_a(), torch.Generator()).item() - expected) < 1e-6


def test_equals_loop_over_the_batch() -> None:
    labels = torch.tensor([0, 1, 0, 0, 2, 1])
    unit = functional.normalize(features_a(), dim=1)
    same = (labels[:, None] == labels) & ~torch.eye(6, dtype=torch.bool)
    loops = multi_similarity_loop(
        unit @ unit.T, same.double(), labels[:, None] != labels, scales=(2, 50), threshold=1, mining=0.1
    )

    loss = MultiSimilarityLoss(MultiSimilarity())(features_a(), labels, torch.Generator())

    assert loss.item() == pytest.approx(sum(each or 0.0 for each in loops) / 6, abs=1e-9)
