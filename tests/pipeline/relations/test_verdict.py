"""The verdict: what is chance, what is signal, and the sentence about it."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.relations.cliques import Cliques, cliques
from pipeline.relations.local_consistency import local_consistency
from pipeline.relations.verdict import ColumnFinding, judge_column, random_consistency, verdict


def judge(relation: Cliques, column: str, labels: np.ndarray, *, is_label: bool = False) -> ColumnFinding:
    return judge_column(column, local_consistency(relation, labels), labels, is_label=is_label)


@settings(derandomize=True, deadline=None)
@given(st.lists(st.integers(-1, 3), min_size=2, max_size=12))
def test_chance_is_the_share_of_equal_pairs(labels: list[int]) -> None:
    known = [label for label in labels if label >= 0]
    pairs = [a == b for a, b in itertools.permutations(known, 2)]

    assert random_consistency(np.array(labels)) == pytest.approx(np.mean(pairs) if pairs else np.nan, nan_ok=True)


def test_chance_is_what_random_labels_give_in_the_mean() -> None:
    generator = np.random.default_rng(0)
    relation, labels = cliques(np.arange(24) // 3), np.repeat([0, 1, 2], [4, 8, 12])
    found = [local_consistency(relation, generator.permutation(labels)).node for _ in range(3000)]

    assert np.mean(found) == pytest.approx(random_consistency(labels), abs=0.01)


DEVICE = np.arange(800) % 4
ACTIVITY = np.arange(800) // 4 % 8


def test_a_device_relation_is_recognised_as_a_nuisance() -> None:
    relation = cliques(DEVICE)
    found = verdict([judge(relation, "activity", ACTIVITY, is_label=True), judge(relation, "device", DEVICE)])

    assert found.encodes == "nuisance"
    assert found.is_nuisance
    assert found.sentence == ("encodes device (consistency 1.00, chance 0.25), not activity (0.12, chance 0.12)")


def test_a_relation_that_says_something_about_a_label_is_none() -> None:
    bout = cliques(np.arange(800) // 8)  # two activities in each
    columns = [judge(bout, "activity", ACTIVITY, is_label=True), judge(bout, "device", DEVICE)]
    found = verdict(columns)

    assert (found.encodes, found.is_nuisance) == ("label", False)
    assert [column.level for column in columns] == ["partly", "not"]
    assert found.sentence == "encodes partly activity (consistency 0.43, chance 0.12), not device (0.14, chance 0.25)"


def test_random_links_encode_nothing_whatever_the_seed() -> None:
    for seed in range(50):
        generator = np.random.default_rng(seed)
        relation = cliques(generator.integers(0, 200, 800))
        columns = [judge(relation, "activity", ACTIVITY, is_label=True), judge(relation, "device", DEVICE)]
        assert verdict(columns).encodes == "nothing"


def test_without_labels_there_is_nothing_to_judge_by() -> None:
    relation = cliques(DEVICE)

    assert verdict([judge(relation, "device", DEVICE)]).encodes == "unjudged"
    constant = judge(relation, "site", np.zeros(800, np.int64))
    assert (constant.level, constant.lift) == ("undefined", None)
    alone = judge(cliques(np.full(800, -1)), "device", DEVICE)
    assert verdict([alone]).sentence == "links no samples that have values of any column"
