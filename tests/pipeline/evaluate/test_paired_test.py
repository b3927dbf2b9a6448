"""Paired differences by group, against counted permutations and a published adjustment."""

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluate.paired_test import holm, paired_difference


def difference(first: list[float], second: list[float], groups: list[str], **given: int):
    rng = np.random.default_rng(0)
    return paired_difference(np.array(first), np.array(second), np.array(groups), rng=rng, **given)


def test_three_groups_that_all_gain_have_a_quarter_of_chance() -> None:
    found = difference([1, 1, 1, 1], [0, 0, 1, 0], ["a", "a", "b", "c"])

    assert found.difference == 0.75
    assert found.p_value == 0.5  # sums 2, 0, 1: four of eight sign patterns reach 3, for the zero has no sign

    assert difference([1, 1, 1], [0, 0, 0], ["a", "b", "c"]).p_value == 0.25


def test_one_group_allows_no_test() -> None:
    found = difference([1, 0], [0, 0], ["a", "a"])

    assert (found.difference, found.low, found.high, found.p_value) == (0.5, None, None, None)


def test_equal_runs_differ_by_nothing() -> None:
    found = difference([1, 0, 1], [1, 0, 1], ["a", "b", "c"])

    assert (found.difference, found.low, found.high, found.p_value) == (0, 0, 0, 1)


@given(
    st.lists(st.tuples(st.sampled_from([0, 0.5, 1]), st.sampled_from([0, 1]), st.sampled_from("abcdef")), min_size=2)
)
def test_the_exact_test_counts_all_sign_patterns(rows: list[tuple[float, float, str]]) -> None:
    first, second, groups = (list(column) for column in zip(*rows, strict=True))
    names = sorted(set(groups))
    sums = [sum(a - b for a, b, g in rows if g == name) for name in names]
    patterns = list(itertools.product((1, -1), repeat=len(names)))
    reached = [abs(sum(s * x for s, x in zip(p, sums, strict=True))) >= abs(sum(sums)) for p in patterns]

    found = difference(first, second, groups, resamples=50)
    turned = difference(second, first, groups, resamples=50)

    assert found.p_value == (pytest.approx(sum(reached) / len(patterns)) if len(names) > 1 else None)
    assert turned.p_value == found.p_value
    assert turned.difference == -found.difference


def test_many_groups_are_drawn_and_agree_with_the_exact_test() -> None:
    rng = np.random.default_rng(1)
    gains = rng.normal(0.3, 1, size=14)
    names = [f"g{i:02d}" for i in range(14)]
    exact = difference(gains.tolist(), [0.0] * 14, names).p_value
    drawn = difference([*gains, 0.0], [0.0] * 15, [*names, "h"], resamples=200_000).p_value  # a zero changes no sum

    assert exact is not None
    assert drawn == pytest.approx(exact, abs=0.005)
    assert difference([1.0] * 40, [0.0] * 40, [str(i) for i in range(40)]).p_value == pytest.approx(1 / 10_001)


def test_an_interval_covers_the_mean_in_nineteen_of_twenty() -> None:
    rng, hits = np.random.default_rng(2), 0
    groups = np.repeat(np.arange(30), 5).astype(str)
    for _ in range(200):
        gain = np.repeat(rng.normal(0.1, 0.2, size=30), 5) + rng.normal(0, 0.1, size=150)
        found = paired_difference(gain, np.zeros(150), groups, rng=rng, resamples=500)
        assert found.low is not None
        assert found.high is not None
        hits += found.low <= 0.1 <= found.high

    assert 0.88 <= hits / 200 <= 0.98


def test_holm_as_published() -> None:
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([]) == []
