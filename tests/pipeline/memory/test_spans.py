import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pipeline.memory.spans import Spans

CPU = torch.device("cpu")
ROW = st.tuples(st.integers(-1, 2), st.integers(-1, 6), st.integers(-1, 6))


def overlap_loop(a: list[int], b: list[int]) -> bool:
    if a[0] != b[0] or a[0] == -1:
        return False
    if -1 in (a[1], a[2], b[1], b[2]):
        return True
    return a[1] < b[2] and b[1] < a[2]


@pytest.mark.fault("N06")
@given(st.lists(ROW, min_size=1, max_size=12))
def test_overlap_is_the_loop_over_pairs(rows: list[tuple[int, int, int]]) -> None:
    spans, everyone = Spans(torch.tensor(rows), CPU), torch.arange(len(rows))
    expected = [[i == j or overlap_loop(list(a), list(b)) for j, b in enumerate(rows)] for i, a in enumerate(rows)]

    assert spans.overlap(everyone, everyone).tolist() == expected
    pairs = spans.overlap_pairs(everyone[:, None].expand(-1, len(rows)), everyone.expand(len(rows), -1))
    assert pairs.tolist() == expected


def test_windows_that_touch_do_not_overlap() -> None:
    spans = Spans(torch.tensor([[5, 0, 10], [5, 10, 20], [5, 9, 12]]), CPU)

    assert spans.overlap(torch.tensor([0]), torch.arange(3)).tolist() == [[True, False, True]]
