import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.memory.assignment import Assignment
from pipeline.memory.bank import FeatureBank
from pipeline.memory.repair import repair_small
from tests.pipeline.memory.circle import ALONE, assert_consistent, bank_of, blobs


def repaired(rows: torch.Tensor, labels: torch.Tensor, num: int, smallest: int) -> tuple[Assignment, FeatureBank]:
    bank = bank_of(rows)
    assignment = Assignment.of(bank, labels.int(), num)
    repair_small(bank, assignment, smallest=smallest, key=1)
    return assignment, bank


@pytest.mark.fault("N07")
@settings(max_examples=60)
@given(
    st.integers(2, 20), st.integers(1, 6), st.integers(0, 1000), st.sampled_from(["skewed", "one", "uniform", "equal"])
)
def test_no_small_cluster_is_left_and_a_second_repair_changes_nothing(
    num: int, smallest: int, seed: int, kind: str
) -> None:
    size = max(2 * num * smallest, 30)
    rows, which = blobs(size, num, seed=seed)
    if kind == "skewed":
        which = (which.float() / num).pow(4).mul(num).long()
    if kind == "one":
        which = torch.full_like(which, num - 1)
    if kind == "equal":
        rows = torch.ones_like(rows) / rows.shape[1] ** 0.5

    assignment, bank = repaired(rows, which, num, smallest)
    labels = assignment.labels.clone()

    assert int(assignment.centroids.counts.min()) >= smallest
    assert_consistent(assignment, bank)
    assert assignment.centroids.means.isfinite().all()
    assert repair_small(bank, assignment, smallest=smallest, key=2) == 0
    assert torch.equal(assignment.labels, labels)


def test_large_clusters_are_left_alone() -> None:
    rows, which = blobs(200, 4)

    assignment, _ = repaired(rows, which, 4, 3)

    assert torch.equal(assignment.labels, which.int())


def test_rows_of_a_small_cluster_join_the_nearest_large_one_and_the_largest_is_split() -> None:
    left, right = torch.tensor([[1.0, 0.1], [1.0, -0.1]]), torch.tensor([[-1.0, 0.02], [-1.0, -0.02]])
    rows = torch.cat([left.repeat(20, 1), right.repeat(5, 1), torch.tensor([[-1.0, 0.0]])])
    labels = torch.tensor([0] * 40 + [1] * 10 + [2])

    assignment, bank = repaired(rows, labels, 3, 2)

    assert assignment.labels[50] == 1
    halves = [assignment.labels[:40:2].unique().tolist(), assignment.labels[1:40:2].unique().tolist()]
    assert sorted(halves) == [[0], [2]]
    assert_consistent(assignment, bank)


def test_a_giant_cluster_is_split_in_bounded_pieces() -> None:
    rows, _ = blobs(20_000, 3, dim=4)

    assignment, bank = repaired(rows, torch.zeros(20_000), 20, 100)

    assert int(assignment.centroids.counts.min()) >= 100
    assert int(assignment.centroids.counts[0]) > 9000
    assert_consistent(assignment, bank)


@pytest.mark.fault("N07")
@pytest.mark.parametrize("smallest", [0, 1])
def test_an_empty_cluster_counts_as_small_from_one_on(smallest: int) -> None:
    rows, _ = blobs(50, 2)

    assignment, _ = repaired(rows, torch.zeros(50), 2, smallest)

    assert bool(assignment.centroids.counts.min() > 0) is (smallest == 1)


def test_rows_that_are_not_valid_stay_without_label() -> None:
    rows, _ = blobs(100, 2)
    bank = FeatureBank(100, 8, dtype=torch.float32, momentum=1.0, runtime=ALONE)
    bank.write(torch.arange(50), rows[:50], step=0)
    assignment = Assignment.of(bank, torch.where(bank.valid, 0, -1).int(), 3)

    repair_small(bank, assignment, smallest=4, key=1)

    assert_consistent(assignment, bank)
    assert int(assignment.centroids.counts.min()) >= 4
