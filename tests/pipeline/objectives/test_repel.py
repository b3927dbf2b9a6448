import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.objectives.repel import Repel, entries_of, overlapping
from pipeline.types import Embeddings
from tests.references import overlap_loop

SPAN = st.tuples(st.integers(-1, 1), st.integers(-1, 8), st.integers(1, 5)).map(
    lambda s: [s[0], s[1], s[1] + s[2] if s[1] >= 0 else -1]
)


@settings(max_examples=100, deadline=None)
@given(first=st.lists(SPAN, min_size=1, max_size=5), second=st.lists(SPAN, min_size=1, max_size=5))
def test_overlap_equals_loop(first: list[list[int]], second: list[list[int]]) -> None:
    expected = [[overlap_loop(a, b) for b in second] for a in first]

    assert overlapping(torch.tensor(first), torch.tensor(second)).tolist() == expected


def test_a_window_of_no_length_overlaps_itself() -> None:
    instant = torch.tensor([[0, 5, 5]])

    assert overlapping(instant, instant).item()


def test_entries_join_streams_and_leave_out_clusters_that_are_not_there_yet() -> None:
    found = Embeddings(
        torch.arange(3),
        {},
        {"a": torch.tensor([True, True, False]), "b": torch.tensor([True, False, True])},
        {"a": torch.tensor([0, 1, 2]), "b": torch.tensor([5, 5, 6])},
        clusters={"b": torch.tensor([[0], [1], [1]])},
    )

    both, weighted = entries_of(found, "a", "b"), entries_of(found, "a", "b", clusters=True)

    assert both.present.tolist() == [True, False, False]
    assert both.content.tolist() == [[0, 5], [1, 5], [2, 6]]
    assert both.clusters is None
    assert weighted.clusters is not None
    assert weighted.clusters.tolist() == [[0], [1], [1]]
    assert entries_of(found, "a", clusters=True).clusters is None


def test_positive_never_repels_whatever_its_tile() -> None:
    repel = Repel(positive=torch.tensor([0, 4, 2]))

    tiles = [repel.restrict(torch.zeros(3, 2), slice(0, 3), slice(start, start + 2)) for start in (0, 2, 4)]

    blocked = torch.cat(tiles, dim=1) == -torch.inf
    assert blocked.nonzero().tolist() == [[0, 0], [1, 4], [2, 2]]
