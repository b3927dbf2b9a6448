import numpy as np
import pytest
import torch

from pipeline.memory.diagnostics import agreement, cluster_figures, space_figures
from pipeline.memory.view_space import ViewSpace
from tests.pipeline.memory.circle import at, circle


def test_figures_of_the_published_case() -> None:
    labels = circle()
    labels.update(labels.bank.write(torch.tensor([0, 3, 6]), at(80, 95, 181), step=10))

    figures = space_figures(ViewSpace("a", labels.bank, [labels]), step=20)

    assert figures == {
        "valid_share": 1.0,
        "staleness": pytest.approx((5 * 20 + 3 * 10) / 8),
        "clusters": 3.0,
        "max_share": 0.5,
        "churn": 1 / 8,
        "change_ratio": pytest.approx(1 / 3),
        "repairs": 0.0,
    }
    labels.end_epoch()
    assert cluster_figures(labels)["churn"] == 0.0


def test_agreement_is_one_for_renamed_classes_and_near_zero_for_chance() -> None:
    random = np.random.default_rng(0)
    labels = random.integers(0, 8, 30_000)

    same, chance = agreement(labels, (labels + 3) % 8), agreement(labels, random.integers(0, 5, 30_000))

    assert same == {"nmi": pytest.approx(1.0), "ami": pytest.approx(1.0)}
    assert abs(chance["ami"]) < 0.01


def test_unknown_rows_do_not_count() -> None:
    labels, column = np.array([0, 0, 1, 1, -1, 2]), np.array([5, 5, 7, 7, 9, -1])

    assert agreement(labels, column) == {"nmi": pytest.approx(1.0), "ami": pytest.approx(1.0)}
    assert agreement(labels, np.full(6, -1)) == {}
