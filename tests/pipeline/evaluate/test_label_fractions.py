import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluate.label_fractions import label_draws

LABELS = np.repeat([0, 1, 2, 4], [500, 300, 60, 7])


@given(
    sizes=st.lists(st.integers(0, 40), min_size=1, max_size=6).filter(any),
    percent=st.floats(0.1, 99.0),
    seed=st.integers(0, 5),
)
def test_every_class_keeps_its_share_and_at_least_one(sizes, percent, seed):
    y = np.repeat(np.arange(len(sizes)), sizes)
    (draw,) = label_draws(y, percent=percent, draws=1, seed=seed)
    counts = np.bincount(y[draw.rows], minlength=len(sizes))

    assert len(set(draw.rows.tolist())) == len(draw.rows)
    for size, count in zip(sizes, counts, strict=True):
        assert min(size, 1) <= count <= size
        assert abs(count - size * percent / 100) <= 1
    assert draw.shots is not None or len(draw.rows) == round(len(y) * percent / 100)


def test_the_flag_says_when_a_class_was_topped_up():
    assert [label_draws(LABELS, percent=p, draws=1, seed=0)[0].shots for p in (1, 50, 100)] == [1, None, None]


def test_draws_differ_from_each_other_and_repeat_with_the_seed():
    first, again, other = (label_draws(LABELS, percent=10, draws=3, seed=seed) for seed in (0, 0, 1))

    assert all(np.array_equal(a.rows, b.rows) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0].rows, first[1].rows)
    assert not np.array_equal(first[0].rows, other[0].rows)


def test_more_draws_do_not_change_the_earlier_ones():
    few, many = (label_draws(LABELS, percent=5, draws=draws, seed=0) for draws in (2, 5))

    assert all(np.array_equal(a.rows, b.rows) for a, b in zip(few, many, strict=False))


@pytest.mark.parametrize("draws", [1, 5])
def test_all_labels_are_one_draw(draws):
    (draw,) = label_draws(LABELS, percent=100, draws=draws, seed=0)

    assert np.array_equal(draw.rows, np.arange(len(LABELS)))
