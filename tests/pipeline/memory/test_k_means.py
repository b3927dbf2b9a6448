import pytest
import torch
from sklearn.metrics import adjusted_rand_score

from pipeline.memory.bank import FeatureBank
from pipeline.memory.k_means import spherical_k_means
from tests.pipeline.memory.circle import ALONE, bank_of, blobs


def test_it_finds_separated_blobs() -> None:
    rows, which = blobs(9000, 12, noise=0.05)

    labels = spherical_k_means(bank_of(rows), 12, iterations=20, key=1)

    assert adjusted_rand_score(which, labels) > 0.999


def test_every_row_ends_with_the_nearest_direction() -> None:
    """A loop reference: with enough iterations the labels are a fixed point of Lloyd's step."""
    rows, _ = blobs(300, 4)
    labels = spherical_k_means(bank_of(rows), 4, iterations=200, key=1)

    directions = [torch.nn.functional.normalize(rows[labels == c].double().sum(0), dim=0) for c in range(4)]

    for row, label in zip(rows.double(), labels.tolist(), strict=True):
        assert max(range(4), key=lambda c: float(row @ directions[c])) == label


@pytest.mark.parametrize("num", [5, 300])
def test_rows_that_are_all_equal_get_labels(num: int) -> None:
    labels = spherical_k_means(bank_of(torch.ones(1000, 4)), num, iterations=20, key=1)

    assert len(labels.unique()) == 1
    assert int(labels.min()) >= 0


def test_rows_without_a_value_get_none() -> None:
    rows, _ = blobs(500, 4)
    bank = FeatureBank(500, 8, dtype=torch.float32, momentum=1.0, runtime=ALONE)
    bank.write(torch.arange(0, 500, 2), rows[::2], step=0)

    labels = spherical_k_means(bank, 4, iterations=20, key=1)

    assert torch.equal(labels >= 0, bank.valid)


def test_the_key_decides() -> None:
    rows, _ = blobs(500, 20, noise=1.0)
    runs = [spherical_k_means(bank_of(rows), 10, iterations=3, key=key) for key in (1, 1, 2)]

    assert torch.equal(runs[0], runs[1])
    assert not torch.equal(runs[0], runs[2])
