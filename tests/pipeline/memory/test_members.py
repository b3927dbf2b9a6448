import torch
from scipy.stats import chisquare

from pipeline.memory.members import Members
from tests.pipeline.memory.circle import bank_of, blobs, labels_of

LABELS = torch.tensor([2, -1, 0, 2, 0, -1, 2], dtype=torch.int32)


def test_a_snapshot_lists_the_labelled_positions_by_cluster() -> None:
    members = Members.of(LABELS, 4)

    assert members.order.tolist() == [2, 4, 0, 3, 6]
    assert members.offsets.tolist() == [0, 2, 2, 5, 5]


def test_draws_are_members_and_an_empty_cluster_has_none() -> None:
    drawn = Members.of(LABELS, 4).draw(torch.tensor([0, 1, 2, 3]), torch.tensor([[0.0, 0.999999]]).expand(4, 2))

    assert drawn.tolist() == [[2, 4], [-1, -1], [0, 6], [-1, -1]]


def test_draws_are_uniform() -> None:
    labels = (torch.arange(100) % 2).int()
    uniform = torch.rand(1, 50_000, generator=torch.Generator().manual_seed(0))

    drawn = Members.of(labels, 2).draw(torch.tensor([1]), uniform)
    counts = torch.bincount(drawn.flatten(), minlength=100)

    assert counts[::2].sum() == 0
    assert chisquare(counts[1::2].numpy()).pvalue > 1e-3


def test_some_members_are_distinct_and_bounded() -> None:
    members = Members.of(torch.zeros(1000, dtype=torch.int32), 1)
    few, all_of_them = members.some(0, 10, key=3), members.some(0, 5000, key=3)

    assert len(few.unique()) == 10
    assert all_of_them.tolist() == list(range(1000))
    assert len(Members.of(LABELS, 4).some(1, 10, key=3)) == 0


def test_a_new_snapshot_is_made_after_five_percent_of_changes_only() -> None:
    rows, which = blobs(400, 2)
    labels = labels_of(bank_of(rows), which, num=2)
    assignment = labels.assignment
    assert assignment is not None
    first = assignment.members
    moving = (which == 0).nonzero().squeeze(1)

    for count, position in enumerate(moving[:21].split(1), start=1):
        row = rows[position]
        assignment.relabel(position, row, row, torch.ones(1, dtype=torch.int64))
        assert (assignment.members is first) == (count <= 20)

    assert torch.equal(assignment.members.order, Members.of(assignment.labels, 2).order)
