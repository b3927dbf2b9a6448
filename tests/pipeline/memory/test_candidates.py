import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import chisquare

from pipeline.memory.candidates import draw_candidates


@given(st.integers(1, 500), st.integers(1, 600), st.integers(0, 2**62))
def test_candidates_are_distinct_and_all_rows_where_as_many_are_asked_for(n: int, num: int, key: int) -> None:
    drawn = draw_candidates(n, num, key=key)

    assert len(set(drawn.tolist())) == len(drawn) == min(n, num)
    assert 0 <= drawn.min() <= drawn.max() < n


def test_every_row_is_as_likely() -> None:
    counts = sum(np.bincount(draw_candidates(60, 7, key=key), minlength=60) for key in range(6000))

    assert chisquare(counts).pvalue > 1e-3


@pytest.mark.parametrize("place", [0, 6])
def test_the_order_is_random_so_that_a_prefix_is_a_sample(place: int) -> None:
    counts = np.bincount([draw_candidates(20, 7, key=key)[place] for key in range(6000)], minlength=20)

    assert chisquare(counts).pvalue > 1e-3
