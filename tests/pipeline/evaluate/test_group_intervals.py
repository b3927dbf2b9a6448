import numpy as np
import pytest

from pipeline.evaluate.group_intervals import group_interval


def test_the_interval_follows_the_groups_not_the_rows():
    groups = np.repeat([f"s{i}" for i in range(10)], 200)
    alike = np.tile([1.0, 0.0], 1000)
    apart = np.repeat([1.0, 0.0] * 5, 200)  # same accuracy, but whole groups are right or wrong
    narrow, wide = (group_interval(c, groups, rng=np.random.default_rng(0)) for c in (alike, apart))

    assert narrow == (0.5, 0.5)
    assert wide is not None
    assert wide[0] < 0.3
    assert wide[1] > 0.7


def test_one_group_gives_no_interval():
    assert group_interval(np.ones(4), np.array(["a"] * 4), rng=np.random.default_rng(0)) is None


def test_long_rows_count_for_more() -> None:
    groups, right, steps = np.array(["a", "b", "c", "a"]), [3, 0, 40, 5], [4, 2, 50, 6]
    drawn = np.random.default_rng(1).multinomial(3, np.full(3, 1 / 3), size=500)
    shares = [(8 * a + 0 * b + 40 * c) / (10 * a + 2 * b + 50 * c) for a, b, c in drawn]

    found = group_interval(right, groups, weights=steps, rng=np.random.default_rng(1), resamples=500)

    assert found == pytest.approx(tuple(np.quantile(shares, [0.025, 0.975])))
