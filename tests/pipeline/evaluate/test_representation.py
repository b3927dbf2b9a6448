import numpy as np
import pytest
import torch

from pipeline.errors import DataError, NotMeasurable
from pipeline.evaluate.representation import (
    centred_rank,
    cka,
    class_alignment,
    modality_gap,
    pair_alignment,
    some_rows,
    spread,
)
from pipeline.train.health import alignment
from tests.references import fixture_a, fixture_w

X, Z = (each.numpy() for each in fixture_a())
Y = np.array(fixture_w()[1])


def random(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape)


def test_alignment_and_uniformity_have_the_published_values():
    assert class_alignment(X, Y) == pytest.approx(0.6849936, abs=1e-6)
    assert spread(X) == pytest.approx(-2.50461808, abs=1e-6)


def test_alignment_of_classes_is_that_of_all_their_pairs():
    x, y = random(30, 5), np.random.default_rng(1).integers(-1, 3, 30)
    pairs = [(i, j) for i in range(30) for j in range(i) if y[i] == y[j] >= 0]
    low, high = np.array(pairs).T

    assert class_alignment(x, y) == pytest.approx(alignment(torch.from_numpy(x[low]), torch.from_numpy(x[high])))
    assert pair_alignment(x[low], x[high]) == pytest.approx(class_alignment(x, y))


def cka_loop(x: np.ndarray, y: np.ndarray) -> float:
    """Song et al., equation 4: means over distinct indices."""
    n = len(x)
    k, m = x @ x.T, y @ y.T

    def hsic(a: np.ndarray, b: np.ndarray) -> float:
        two = np.mean([a[i, j] * b[i, j] for i in range(n) for j in range(n) if i != j])
        three = np.mean(
            [a[i, j] * b[i, q] for i in range(n) for j in range(n) for q in range(n) if len({i, j, q}) == 3]
        )
        four = np.mean(
            [
                a[i, j] * b[q, r]
                for i in range(n)
                for j in range(n)
                for q in range(n)
                for r in range(n)
                if len({i, j, q, r}) == 4
            ]
        )
        return float(two + four - 2 * three)

    return hsic(k, m) / (hsic(k, k) * hsic(m, m)) ** 0.5


def test_cka_equals_the_loop():
    x, y = random(9, 3), random(9, 4, seed=1)
    y[:, 0] += x[:, 0]

    assert cka(x, y) == pytest.approx(cka_loop(x, y))
    assert cka(x + 100, y - 7) == pytest.approx(cka(x, y))


def test_cka_sees_through_rotation_and_scale_and_not_through_dimension():
    x = random(60, 8)
    rotation = np.linalg.qr(random(8, 8, seed=1))[0]
    wide, other = random(60, 500, seed=2), random(60, 500, seed=3)

    assert cka(x, 3 * x @ rotation) == pytest.approx(1)
    assert abs(cka(wide, other)) < 0.1  # the biased form gives 0.9 here


def test_rank_counts_directions_about_the_mean():
    x = np.repeat(np.array([[1.0, 0, 0], [-1, 0, 0], [0, 1, 0], [0, -1, 0]]), 5, axis=0)

    assert centred_rank(x + 100) == pytest.approx(2, abs=1e-3)
    assert centred_rank(x[:10]) == pytest.approx(1, abs=1e-3)


def test_the_gap_is_between_the_means_on_the_sphere():
    x = np.array([[2.0, 0], [0, 3.0]])

    assert modality_gap(x, -x) == pytest.approx(2**0.5)
    assert modality_gap(x, 5 * x[::-1]) == 0


def test_what_cannot_be_measured_is_refused():
    x = random(6, 3)
    with pytest.raises(NotMeasurable, match="two samples of one class"):
        class_alignment(x, np.arange(6))
    with pytest.raises(NotMeasurable, match="two samples"):
        spread(x[:1])
    with pytest.raises(NotMeasurable, match="four samples"):
        cka(x[:3], x[:3])
    with pytest.raises(NotMeasurable, match="that vary"):
        cka(x, np.ones((6, 2)))
    with pytest.raises(DataError, match="same samples"):
        cka(x, x[:5])
    with pytest.raises(DataError, match="DATA_NOT_FINITE"):
        cka(x, np.full((6, 2), np.inf))


def test_many_rows_are_drawn_once_and_for_all():
    assert some_rows(5).tolist() == [0, 1, 2, 3, 4]
    drawn = some_rows(10_000)
    assert len(set(drawn)) == 2048
    assert (np.diff(drawn) > 0).all()
    assert (drawn == some_rows(10_000)).all()
