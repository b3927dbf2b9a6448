import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import binary_eer

from pipeline.errors import DataError, NotMeasurable
from pipeline.evaluate import verification
from pipeline.evaluate.verification import (
    area_under_roc,
    checked_pairs,
    equal_error_rate,
    fold_accuracy,
    true_acceptance,
    verification_pairs,
)

PAIRS = checked_pairs(
    np.array([0.95, 0.9, 0.8, 0.7, 0.6, 0.35]),
    np.array([0.75, 0.55, 0.5, 0.45, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1]),
)
SCORES = st.lists(st.integers(0, 6), min_size=1, max_size=12).map(lambda values: np.array(values) / 6)


@pytest.mark.parametrize(
    ("far", "tar", "threshold"), [(0.1, 0.8333333333333334, 0.55), (0.0, 0.5, 0.75), (0.2, 0.8333333333333334, 0.5)]
)
def test_tar_at_far_has_the_published_values(far, tar, threshold):
    found = true_acceptance(PAIRS, far)

    assert (found.tar, found.far, found.threshold) == pytest.approx((tar, far, threshold), abs=1e-12)


def test_eer_has_the_published_value():
    assert equal_error_rate(PAIRS) == pytest.approx(0.18333333333333332, abs=1e-12)


def test_only_the_order_of_scores_counts():
    """torchmetrics takes a sigmoid of scores outside [0, 1]; large ones are all 1 then."""
    large = checked_pairs(np.array([50.0, 60.0]), np.array([30.0, 40.0]))

    assert (area_under_roc(large), equal_error_rate(large), true_acceptance(large, 0.5).tar) == (1.0, 0.0, 1.0)
    scaled = checked_pairs(1000 * PAIRS.genuine - 700, 1000 * PAIRS.impostor - 700)
    assert equal_error_rate(scaled) == equal_error_rate(PAIRS)
    assert true_acceptance(scaled, 0.1).tar == true_acceptance(PAIRS, 0.1).tar


@settings(max_examples=100, deadline=None)
@given(SCORES, SCORES, st.floats(0, 1))
def test_rates_equal_the_loop(genuine, impostor, far):
    pairs = checked_pairs(genuine, impostor)
    wins = [(g > i) + 0.5 * (g == i) for g in genuine for i in impostor]
    scores = torch.from_numpy(np.concatenate([genuine, impostor]))
    truth = torch.tensor([1] * len(genuine) + [0] * len(impostor))

    assert area_under_roc(pairs) == pytest.approx(np.mean(wins))
    points = [((impostor >= t).mean(), (genuine < t).mean()) for t in [2.0, *scores.tolist()]]
    least = min(abs(far - frr) for far, frr in points)
    rates = {round((far + frr) / 2, 9) for far, frr in points if abs(far - frr) < least + 1e-9}
    assert equal_error_rate(pairs) == pytest.approx(max(rates))
    if len(rates) == 1:
        assert equal_error_rate(pairs) == pytest.approx(float(binary_eer(scores, truth)), abs=1e-6)
    if 0 < far * len(impostor) < 1 - 1e-6:
        with pytest.raises(NotMeasurable, match=r"DATA_TOO_FEW.*impostor pairs"):
            true_acceptance(pairs, far)
    elif abs(far * len(impostor) - round(far * len(impostor))) > 1e-6 or far in (0, 1):
        best = max(float((genuine > t).mean()) for t in [-1.0, *impostor.tolist()] if (impostor > t).mean() <= far)
        assert true_acceptance(pairs, far).tar == best
        assert true_acceptance(pairs, far).far <= far


def test_too_few_impostors_are_refused_with_the_number_needed():
    with pytest.raises(NotMeasurable, match=r"0\.01 cannot be seen with 10 impostor pairs.*at least 100 impostor"):
        true_acceptance(PAIRS, 0.01)
    with pytest.raises(DataError, match="rate"):
        true_acceptance(PAIRS, 1.5)


def test_pairs_of_one_recording_are_left_out():
    rng = np.random.default_rng(0)
    x, people = rng.normal(size=(9, 4)), np.array([0, 0, 0, 1, 1, 1, 2, -1, -1])
    days = np.array([0, 0, 1, 0, 2, -1, -1, 3, 3])
    genuine, impostor = [], []
    for i in range(9):
        for j in range(i):
            if min(people[i], people[j]) < 0 or (days[i] == days[j] >= 0):
                continue
            cosine = x[i] @ x[j] / np.linalg.norm(x[i]) / np.linalg.norm(x[j])
            (genuine if people[i] == people[j] else impostor).append(cosine)

    found = verification_pairs(x, people, (days,))

    assert sorted(found.genuine) == pytest.approx(sorted(genuine))
    assert sorted(found.impostor) == pytest.approx(sorted(impostor))
    with pytest.raises(NotMeasurable, match="no genuine pairs"):
        verification_pairs(x, people, (np.where(people >= 0, people, -1), days))
    with pytest.raises(NotMeasurable, match="no impostor pairs"):
        verification_pairs(x, np.zeros(9, np.int64), (days,))


def test_many_samples_are_drawn_by_a_key(monkeypatch):
    monkeypatch.setattr(verification, "MOST_SAMPLES", 20)
    x, people = np.random.default_rng(0).normal(size=(50, 3)), np.arange(50) % 5

    found = verification_pairs(x, people)

    assert len(found.genuine) + len(found.impostor) == 190
    assert (verification_pairs(x, people).genuine == found.genuine).all()


def test_folds_choose_their_threshold_elsewhere():
    rng = np.random.default_rng(0)
    clear = checked_pairs(rng.uniform(0.6, 1, 200), rng.uniform(0, 0.4, 300))
    chance = checked_pairs(rng.uniform(size=3000), rng.uniform(size=3000))

    assert fold_accuracy(clear)[0] > 0.99
    assert fold_accuracy(chance)[0] == pytest.approx(0.5, abs=0.03)
    alone = checked_pairs(rng.uniform(size=20), rng.uniform(size=20))
    own_choice = np.mean([fold_accuracy(alone, seed=seed)[0] for seed in range(20)])
    assert own_choice < 0.55  # a threshold for two pairs of either kind, chosen on themselves, is right of most
    with pytest.raises(NotMeasurable, match="10 folds"):
        fold_accuracy(PAIRS)
