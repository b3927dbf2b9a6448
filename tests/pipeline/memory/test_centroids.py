import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.pipeline.memory.circle import assert_consistent, at, bank_of, blobs, circle, labels_of

CENTROIDS = [[0.974833, 0.171889], [-0.171889, 0.974833], [-0.992404, -0.086824]]
AFTER = [[0.962250, 0.257834], [-0.107294, 0.976376], [-0.992328, -0.095550]]


def means(labels) -> torch.Tensor:  # type: ignore[no-untyped-def]
    return labels.assignment.centroids.means


def test_means_are_the_published_ones_and_not_unit_rows() -> None:
    """methods_expected.json interclr_centroids, interclr_centroid_norms."""
    found = means(circle())

    torch.testing.assert_close(found, torch.tensor(CENTROIDS, dtype=torch.float64), rtol=0, atol=1e-6)
    norms = torch.tensor([0.989872, 0.989872, 0.996195], dtype=torch.float64)
    torch.testing.assert_close(found.norm(dim=1), norms, rtol=0, atol=1e-6)


def test_means_after_a_step_are_the_published_ones_only_after_a_refresh() -> None:
    """methods_expected.json interclr_centroids_after."""
    labels = circle()
    labels.update(labels.bank.write(torch.tensor([0, 3, 6]), at(80, 95, 181), step=1))

    torch.testing.assert_close(means(labels), torch.tensor(CENTROIDS, dtype=torch.float64), rtol=0, atol=1e-6)
    labels.assignment.centroids.refresh()  # type: ignore[union-attr]

    torch.testing.assert_close(means(labels), torch.tensor(AFTER, dtype=torch.float64), rtol=0, atol=1e-6)


def test_a_tight_cluster_wins_over_a_loose_one_that_is_closer() -> None:
    """methods_expected.json interclr_unnormalised_centroid_bias: means are not normalised."""
    rows = at(-48.19, 48.19, 50, 50)  # norms 0.6667 and 1
    labels = labels_of(bank_of(rows), torch.tensor([0, 0, 1, 1]), num=2)

    assert labels.assignment.centroids.nearest(at(20)).tolist() == [1]  # type: ignore[union-attr]


@pytest.mark.fault("N07")
def test_an_empty_cluster_keeps_its_mean() -> None:
    labels = circle()
    before = means(labels)[2].clone()
    labels.update(labels.bank.write(torch.tensor([6, 7]), at(0, 1), step=1))
    labels.assignment.centroids.refresh()  # type: ignore[union-attr]

    assert torch.equal(means(labels)[2], before)
    assert means(labels).isfinite().all()


@settings(max_examples=25)
@given(st.integers(0, 10_000), st.sampled_from([0.3, 1.0]), st.sampled_from(["float16", "float32"]))
def test_running_sums_are_a_full_recomputation_to_the_last_bit(seed: int, momentum: float, dtype: str) -> None:
    rows, which = blobs(200, 5, seed=seed)
    bank = bank_of(rows.to(getattr(torch, dtype)), momentum=momentum)
    labels = labels_of(bank, which, num=5)
    generator = torch.Generator().manual_seed(seed)

    for step in range(12):
        positions = torch.randint(200, (32,), generator=generator)
        labels.update(bank.write(positions, torch.randn(32, 8, generator=generator), step))
        if step % 4 == 3:
            labels.refresh()

    assert labels.assignment is not None
    assert_consistent(labels.assignment, bank)
    labels.assignment.centroids.refresh()
    kept = labels.assignment.centroids.means
    again = labels_of(bank, labels.assignment.labels, num=5).assignment
    assert again is not None
    assert torch.equal(kept, again.centroids.means)
