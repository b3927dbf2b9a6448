import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluate.best_epoch import BestEpoch


@given(st.lists(st.floats(0, 1), min_size=1, max_size=20), st.integers(1, 5))
def test_it_equals_a_running_loop(scores, patience):
    history, best, at, waited = BestEpoch((), patience), -1.0, -1, 0
    for epoch, value in enumerate(scores):
        history = history.add(value)
        best, at, waited = (value, epoch, 0) if value > best else (best, at, waited + 1)
        assert (history.epoch, history.should_stop) == (at, waited >= patience)


@pytest.mark.parametrize("patience", [1, 3])
def test_nothing_stops_before_the_first_epoch(patience):
    assert (BestEpoch((), patience).epoch, BestEpoch((), patience).should_stop) == (-1, False)
