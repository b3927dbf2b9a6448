import pytest
import torch
from torch.nn import functional

from pipeline.heads.nbc import NBC
from pipeline.heads.spec import Target
from pipeline.types import LossTerms
from tests.head_fixtures import cosines_a, features_a, labels_a, supervised
from tests.references import block_spread_loop


def plain(logits: torch.Tensor, labels: torch.Tensor) -> LossTerms:
    return LossTerms({"cross_entropy": functional.cross_entropy(logits, labels)})


def terms_of(config: NBC, features: torch.Tensor, num_classes: int = 3) -> dict[str, float]:
    head = config.build(Target(4, num_classes), plain)
    terms = head.loss(supervised(cosines_a(), features, labels=labels_a())).terms
    return {name: loss.item() for name, loss in terms.items()}


def test_equals_published_values() -> None:
    assert terms_of(NBC(), features_a())["nbc"] == pytest.approx(0.5 * 0.34826843, abs=1e-6)
    assert terms_of(NBC(ratio=1), features_a(), 5)["nbc"] == pytest.approx(0.20896106, abs=1e-6)
    assert sum(terms_of(NBC(), features_a()).values()) == pytest.approx(0.52690412, abs=1e-6)


def test_undivided_term_equals_loop_and_does_not_depend_on_the_length_of_features() -> None:
    config = NBC(ratio=1, divide_by_classes=False)

    assert terms_of(config, features_a())["nbc"] == pytest.approx(
        block_spread_loop(features_a(), [0, 0, 1, 1, 2, 2], 0.2)
    )
    assert terms_of(config, 3 * features_a())["nbc"] == pytest.approx(terms_of(config, features_a())["nbc"])
