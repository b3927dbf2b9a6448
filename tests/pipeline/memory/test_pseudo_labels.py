import math

import pytest
import torch
from torch import Tensor

from pipeline.memory.bank import FeatureBank
from pipeline.memory.config import ClustersConfig
from pipeline.memory.pseudo_labels import PseudoLabels
from tests.pipeline.memory.circle import ALONE, LABELS, assert_consistent, at, bank_of, blobs, circle


def labels(found: PseudoLabels) -> Tensor:
    assert found.assignment is not None
    return found.assignment.labels


@pytest.mark.parametrize(
    ("momentum", "expected", "ratio", "degrees"),
    [(1.0, [1, 0, 0, 1, 1, 1, 2, 2], 1 / 3, 80), (0.5, LABELS, 0.0, 40)],
)
def test_a_step_relabels_as_published(momentum: float, expected: list[int], ratio: float, degrees: float) -> None:
    """methods_expected.json interclr_update_om1.0_*, interclr_update_om0.5_*."""
    found = circle(momentum=momentum)

    changed = found.update(found.bank.write(torch.tensor([0, 3, 6]), at(80, 95, 181), step=1))

    assert labels(found).tolist() == expected
    assert math.isclose(changed, ratio)
    torch.testing.assert_close(found.bank.fetch(torch.tensor([0])), at(degrees), rtol=0, atol=1e-6)


def test_a_step_relabels_the_rows_it_wrote_and_no_others() -> None:
    rows, _ = blobs(2000, 10)
    found = clustered(rows)
    before = labels(found).clone()
    written = torch.arange(0, 2000, 40)

    found.update(found.bank.write(written, rows.flip(0)[written], step=1))
    untouched = torch.ones(2000, dtype=torch.bool)
    untouched[written] = False

    assert torch.equal(labels(found)[untouched], before[untouched])
    assert not torch.equal(labels(found)[written], before[written])


def clustered(rows: Tensor, **config: object) -> PseudoLabels:
    found = PseudoLabels(bank_of(rows), ClustersConfig(**config), num=10, name="a/0", seed=0)  # type: ignore[arg-type]
    found.cluster()
    return found


def test_rows_seen_for_the_first_time_get_a_label_and_do_not_count_as_changed() -> None:
    rows, _ = blobs(1000, 5)
    bank = FeatureBank(1000, 8, dtype=torch.float32, momentum=1.0, runtime=ALONE)
    bank.write(torch.arange(900), rows[:900], step=0)
    found = PseudoLabels(bank, ClustersConfig(), num=5, name="a/0", seed=0)
    found.cluster()

    ratio = found.update(bank.write(torch.arange(900, 1000), rows[900:], step=1))

    assert ratio == 0.0
    assert found.assignment is not None
    assert_consistent(found.assignment, bank)
    assert int((labels(found) >= 0).sum()) == 1000


def test_offline_labels_change_only_when_everything_is_clustered() -> None:
    rows, _ = blobs(1000, 10)
    found = clustered(rows, update="offline")
    before, means = labels(found).clone(), found.assignment.centroids.means.clone()  # type: ignore[union-attr]

    found.update(found.bank.write(torch.arange(500), rows.flip(0)[:500], step=1))
    found.refresh()

    assert torch.equal(labels(found), before)
    assert torch.equal(found.assignment.centroids.means, means)  # type: ignore[union-attr]
    assert_consistent(found.assignment, found.bank)  # type: ignore[arg-type]
    found.cluster()
    assert not torch.equal(labels(found), before)
    assert found.changes > 0


@pytest.mark.fault("N07")
def test_renaming_the_clusters_is_no_change() -> None:
    rows, which = blobs(600, 3)
    found = PseudoLabels(bank_of(rows), ClustersConfig(), num=3, name="a/0", seed=0)

    found.adopt(which.int(), 3, smallest=2)
    found.adopt(((which + 1) % 3).int(), 3, smallest=2)

    assert found.changes == 0


@pytest.mark.fault("N07")
@pytest.mark.parametrize("collapse", ["equal rows", "one giant cluster"])
def test_a_collapse_leaves_full_clusters_and_finite_centroids(collapse: str) -> None:
    rows, _ = blobs(2000, 10)
    found = clustered(rows)
    target = torch.ones(2000, 8) if collapse == "equal rows" else rows * 0.01 + 1.0

    for step in range(40):
        positions = (torch.arange(200) + 200 * step) % 2000
        found.update(found.bank.write(positions, target[positions], step))
        if step % 5 == 4:
            found.refresh()

    assert found.assignment is not None
    assert int(found.assignment.centroids.counts.min()) >= found.smallest
    assert found.assignment.centroids.means.isfinite().all()
    assert_consistent(found.assignment, found.bank)


@pytest.mark.parametrize("num_valid", [0, 3])
def test_too_few_rows_have_no_labels(num_valid: int) -> None:
    bank = FeatureBank(1000, 8, dtype=torch.float32, momentum=1.0, runtime=ALONE)
    bank.write(torch.arange(num_valid), torch.randn(num_valid, 8), step=0)
    found = PseudoLabels(bank, ClustersConfig(), num=None, name="a/0", seed=0)

    found.cluster()

    assert found.num_clusters == 0
    assert found.labels_at(torch.arange(5)).tolist() == [-1] * 5
    assert found.update(bank.write(torch.arange(2), torch.randn(2, 8), step=1)) == 0.0


def test_a_position_outside_has_no_label() -> None:
    assert circle().labels_at(torch.tensor([[-1, 7], [3, -1]])).tolist() == [[-1, 2], [1, -1]]


@pytest.mark.fault("N07")
def test_the_next_step_after_a_round_trip_has_the_same_bits() -> None:
    rows, _ = blobs(2000, 10)
    found, other = clustered(rows), PseudoLabels(bank_of(rows), ClustersConfig(), num=10, name="a/0", seed=0)
    other.load({name: tensor.clone() for name, tensor in found.tensors().items()})

    for each in (found, other):
        for step in range(10):
            positions = torch.arange(step * 100, step * 100 + 100)
            each.update(each.bank.write(positions, rows.flip(0)[positions], step))
            each.refresh()

    expected, actual = found.tensors(), other.tensors()
    assert expected.keys() == actual.keys()
    assert all(torch.equal(actual[name], tensor) for name, tensor in expected.items())
