import pytest
import torch
from torch.nn import functional

from pipeline.heads.dual_path import DualPath, constructed, structure_difference
from pipeline.heads.spec import Target
from tests.contracts.head_examples import class_loss
from tests.head_fixtures import cosines_a, features_a, labels_a, supervised
from tests.references import cosine, fixture_a

UNEVEN = torch.tensor([0, 1, 0, 0, 2, 1])


def test_structure_equals_loop_and_is_that_of_a_rotated_view() -> None:
    first, second = fixture_a()
    rotation, _ = torch.linalg.qr(torch.randn(4, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64))
    pairs = [(i, j) for i in range(6) for j in range(6)]
    squares = [(cosine(first[i], first[j]) - cosine(second[i], second[j])) ** 2 for i, j in pairs]

    assert structure_difference(first, second).item() == pytest.approx(sum(squares) / 36, abs=1e-9)
    torch.testing.assert_close(structure_difference(first, second @ rotation), structure_difference(first, second))
    assert structure_difference(first, first @ rotation).item() == pytest.approx(0, abs=1e-12)


def test_constructed_features_lie_between_two_samples_of_a_class_nearer_to_the_own() -> None:
    x, partners = features_a(), set()
    for seed in range(30):
        mixes = constructed(x, UNEVEN, torch.Generator().manual_seed(seed))
        for i in range(6):
            others = [j for j in range(6) if j != i and UNEVEN[j] == UNEVEN[i]] or [i]
            fits = []
            for j in others:
                share = float(((mixes[i] - x[j]) @ (x[i] - x[j])) / (x[i] - x[j]).square().sum()) if j != i else 0.75
                if torch.allclose(share * x[i] + (1 - share) * x[j], mixes[i]) and 0.5 <= share < 1:
                    fits.append((i, j))
            assert len(fits) == 1
            partners.update(fits)

    assert partners == {(0, 2), (0, 3), (2, 0), (2, 3), (3, 0), (3, 2), (1, 5), (5, 1), (4, 4)}


def test_terms_are_the_class_loss_the_structure_and_the_contrast() -> None:
    first, second = fixture_a()
    head = DualPath(structure=2.0, contrast=0.5).build(Target(4, 3), class_loss)
    unit = functional.normalize(first, dim=1)
    rows = torch.cat([unit, functional.normalize(second, dim=1), constructed(unit, labels_a(), torch.Generator())])
    y = labels_a().repeat(3)
    same = (y[:, None] == y) & ~torch.eye(18, dtype=torch.bool)
    rows = functional.normalize(rows, dim=1)
    logits = (rows @ rows.T / 0.1).masked_fill(torch.eye(18, dtype=torch.bool), -torch.inf)
    each = -torch.where(same, logits.log_softmax(dim=1), 0.0).sum(dim=1) / same.sum(dim=1)

    batch = supervised(cosines_a(), first, second, labels=labels_a())
    batch.generator.set_state(torch.Generator().get_state())
    terms = head.loss(batch).terms

    assert list(terms) == ["cross_entropy", "structure", "contrast"]
    torch.testing.assert_close(terms["structure"], 2 * structure_difference(first, second))
    torch.testing.assert_close(terms["contrast"], 0.5 * each.mean())
