import pytest
import torch

from pipeline.heads.joint import JointCriterion, class_pairs
from pipeline.heads.spec import Supervised, Target
from pipeline.heads.sup_con import SupCon, SupConLoss
from tests.contracts.head_examples import class_loss
from tests.head_fixtures import cosines_a, features_a, labels_a, supervised


def test_pairs_are_of_different_samples() -> None:
    positives, negatives = class_pairs(torch.tensor([0, 1, 0]))

    assert positives.nonzero().tolist() == [[0, 2], [2, 0]]
    assert negatives.nonzero().tolist() == [[0, 1], [1, 0], [1, 2], [2, 1]]


def test_terms_are_the_class_loss_and_the_weighted_pair_loss() -> None:
    head = SupCon(weight=0.25).build(Target(4, 3), class_loss)
    pairs = SupConLoss(0.1)(features_a(), labels_a(), torch.Generator())

    terms = head.loss(supervised(cosines_a(), features_a(), labels=labels_a())).terms

    assert list(terms) == ["cross_entropy", "pairs"]
    assert terms["cross_entropy"].item() == pytest.approx(0.75913062, abs=1e-6)
    torch.testing.assert_close(terms["pairs"], 0.25 * pairs)


def test_pairs_see_the_samples_in_the_order_of_their_numbers() -> None:
    class Recorder(torch.nn.Module):
        def forward(self, features: torch.Tensor, labels: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
            self.seen = (features, labels)
            return features.sum()

    recorder, idx = Recorder(), torch.tensor([30, 10, 50, 20, 40, 0])
    batch = Supervised(cosines_a(), labels_a(), idx, 0, torch.Generator(), (features_a(),))

    JointCriterion(class_loss, recorder, weight=1.0)(batch)

    assert recorder.seen[0].equal(features_a()[[5, 1, 3, 0, 4, 2]])
    assert recorder.seen[1].tolist() == [2, 0, 1, 0, 2, 1]
