import time

import pytest
import torch
from scipy.stats import chisquare

from pipeline.memory.config import ClustersConfig
from pipeline.memory.mining import Miner
from pipeline.memory.pseudo_labels import PseudoLabels
from pipeline.memory.spans import Spans
from pipeline.memory.view_space import ViewSpace
from pipeline.types import Mined
from tests.pipeline.memory.circle import at, bank_of, blobs, circle, labels_of

NO_RECORDS = (-1, -1, -1)


def mine(labels: PseudoLabels, anchors: list[int], *, spans: list[tuple[int, int, int]] | None = None, step: int = 0,
         candidates: int = 4096, overlapping: bool = False) -> Mined:  # fmt: skip
    table = torch.tensor(spans or [NO_RECORDS] * labels.bank.num_rows)
    miner = Miner(
        Spans(table, torch.device("cpu")), num_candidates=candidates, overlapping_positives=overlapping, seed=5
    )
    positions = torch.tensor(anchors)
    return miner.mine(ViewSpace("a", labels.bank, [labels]), labels, positions + 100, positions, step=step)


def rows_of(mined: Mined, mask: torch.Tensor, bank_rows: torch.Tensor) -> set[int]:
    """Positions of the candidates under a mask (M,)."""
    return {int((bank_rows - row).norm(dim=1).argmin()) for row in mined.candidates[mask]}


def test_every_row_is_a_candidate_and_labels_decide_the_sets() -> None:
    mined, rows = mine(circle(), [1, 7]), at(0, 10, 20, 90, 100, 110, 180, 190)

    assert mined.labels.tolist() == [0, 2]
    assert mined.num_clusters == 3
    assert rows_of(mined, mined.same[0], rows) == {0, 2}
    assert rows_of(mined, mined.different[0], rows) == {3, 4, 5, 6, 7}
    assert rows_of(mined, mined.different[1], rows) == {0, 1, 2, 3, 4, 5}


def test_the_semi_hard_pool_has_the_published_members_and_may_hold_no_negative() -> None:
    """methods_expected.json semihard_pool4, semihard_pool4_valid, semihard_pool3_valid; query at 5 degrees."""
    started = time.process_time()
    mined, rows = mine(circle(), [0]), at(0, 10, 20, 90, 100, 110, 180, 190)
    nearest = (mined.candidates @ at(5)[0]).argsort(descending=True)

    valid = [rows_of(mined, nearest[:size][mined.different[0, nearest[:size]]], rows) for size in (4, 3)]

    assert rows_of(mined, nearest[:4], rows) == {0, 1, 2, 3}
    assert valid == [{3}, set()]
    assert time.process_time() - started < 1


def test_positives_are_uniform_members_without_the_own_row() -> None:
    rows, which = blobs(60, 3)
    labels = labels_of(bank_of(rows), which, num=3)
    drawn = torch.cat([mine(labels, [7], step=step, candidates=1).positive for step in range(3000)])

    counts = torch.bincount(torch.cdist(drawn, rows).argmin(dim=1), minlength=60)
    members = [i for i in range(60) if which[i] == which[7] and i != 7]

    assert counts[members].sum() == 3000
    assert chisquare(counts[members].numpy()).pvalue > 1e-3


def test_the_own_row_may_be_drawn_where_overlap_is_allowed_as_in_the_reference() -> None:
    drawn = torch.cat([mine(circle(), [6], step=step, overlapping=True).positive for step in range(60)])

    assert len(drawn.unique(dim=0)) == 2
    alone = torch.cat([mine(circle(), [6], step=step).positive for step in range(60)])
    torch.testing.assert_close(alone, at(*[190] * 60))


@pytest.mark.fault("N06")
def test_overlapping_windows_are_neither_negative_nor_positive() -> None:
    spans = [NO_RECORDS] * 8
    spans[0], spans[1], spans[3] = (4, 0, 10), (4, 5, 15), (4, 9, 20)
    spans[4] = (4, 10, 30)
    mined, rows = mine(circle(), [0], spans=spans), at(0, 10, 20, 90, 100, 110, 180, 190)

    assert rows_of(mined, mined.same[0], rows) == {2}
    assert rows_of(mined, mined.different[0], rows) == {4, 5, 6, 7}
    torch.testing.assert_close(mined.positive, at(20))


def test_with_nothing_but_overlapping_members_the_own_row_is_the_positive() -> None:
    spans = [NO_RECORDS] * 6 + [(1, -1, -1), (1, 0, 5)]
    mined = mine(circle(), [6], spans=spans)

    torch.testing.assert_close(mined.positive, at(180))
    assert mined.has_positive.tolist() == [True]
    assert not mined.same.any()


def test_a_member_that_has_moved_away_is_not_drawn() -> None:
    rows, which = blobs(400, 2)
    labels = labels_of(bank_of(rows), which, num=2)
    members = (which == 0).nonzero().squeeze(1)
    gone = members[1:20]
    moved = labels.bank.fetch(gone)
    assert labels.assignment is not None
    labels.assignment.relabel(gone, moved, moved, torch.ones(19, dtype=torch.int64))

    drawn = torch.cat([mine(labels, [int(members[0])], step=step, candidates=1).positive for step in range(500)])

    assert torch.cdist(drawn, moved).min() > 1e-4


def test_rows_without_label_and_anchors_outside_take_no_part() -> None:
    rows, which = blobs(50, 2)
    bank = bank_of(rows)
    bank.valid[10:], bank.num_valid = False, 10
    labels = labels_of(bank, torch.where(bank.valid, which, -1), num=2)

    mined = mine(labels, [3, -1, 30], candidates=50)

    assert mined.has_positive.tolist() == [True, False, False]
    assert mined.labels.tolist()[1:] == [-1, -1]
    assert (mined.same | mined.different).sum(dim=1).tolist() == [9, 0, 0]


def test_before_the_first_clusters_nothing_is_mined() -> None:
    labels = PseudoLabels(circle().bank, ClustersConfig(), num=3, name="a/0", seed=0)

    mined = mine(labels, [0, 1])

    assert mined.num_clusters == 0
    assert not torch.cat([mined.has_positive[:, None], mined.same, mined.different], dim=1).any()
    assert mined.labels.tolist() == [-1, -1]


def test_draws_follow_seed_step_and_sample_not_the_batch() -> None:
    rows, which = blobs(500, 3)
    labels = labels_of(bank_of(rows), which, num=3)
    first, again, later = mine(labels, [4, 9, 2]), mine(labels, [2, 4]), mine(labels, [4, 9, 2], step=1)

    assert torch.equal(first.positive[[2, 0]], again.positive)
    assert torch.equal(first.candidates, again.candidates)
    assert not torch.equal(first.candidates, later.candidates)
    assert not torch.equal(first.positive, later.positive)
