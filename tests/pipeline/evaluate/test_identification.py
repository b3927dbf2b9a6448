import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import NotMeasurable
from pipeline.evaluate.identification import enrol, search
from tests.pipeline.evaluate.given_scores import GivenScores


def tpir_loop(scores: np.ndarray, probes: np.ndarray, gallery: np.ndarray, fpir: float) -> float:
    """Try every threshold that answers few enough strangers."""
    strangers = [scores[p].max() for p in range(len(probes)) if probes[p] not in gallery]
    mated = [p for p in range(len(probes)) if probes[p] in gallery]
    best = 0.0
    for threshold in [-1.0, *strangers]:
        if np.mean([s > threshold for s in strangers]) > fpir:
            continue
        answered = [
            scores[p].max() > threshold
            and max(scores[p][gallery == probes[p]]) > max([*scores[p][gallery != probes[p]], -1])
            for p in mated
        ]
        best = max(best, float(np.mean(answered)))
    return best


@settings(max_examples=100, deadline=None)
@given(st.data(), st.integers(1, 40))
def test_tpir_equals_the_loop_whatever_the_tile(data, tile):
    probes = np.array(data.draw(st.lists(st.integers(0, 3), min_size=2, max_size=8)))
    gallery = np.array(data.draw(st.lists(st.integers(0, 3), min_size=1, max_size=5)))
    values = st.lists(st.integers(0, 5), min_size=len(probes) * len(gallery), max_size=len(probes) * len(gallery))
    scores = np.reshape(data.draw(values), (len(probes), len(gallery))) / 5
    mated = np.isin(probes, gallery)
    if mated.all() or not mated.any():
        with pytest.raises(NotMeasurable, match="strangers"):
            search(GivenScores(scores), probes, gallery)
        return

    found = search(GivenScores(scores), probes, gallery, tile=tile)

    for count in range(len(found.strangers) + 1):
        fpir = count / len(found.strangers)
        assert found.true_identification(fpir) == pytest.approx(tpir_loop(scores, probes, gallery, fpir))
    assert found.rank_one == pytest.approx(tpir_loop(scores, probes, gallery, 1.0))


def test_somebody_else_as_near_as_the_right_one_counts_against_it():
    scores = GivenScores(np.array([[0.9, 0.9 - 1e-8], [0.1, 0.2]]))

    assert search(scores, np.array([0, 2]), np.array([0, 1])).rank_one == 0.0


def test_a_rate_of_fewer_than_one_stranger_is_refused():
    found = search(GivenScores(np.array([[0.9], [0.5], [0.4]])), np.array([0, 1, 2]), np.array([0]))

    assert found.true_identification(0.5) == 1.0
    with pytest.raises(NotMeasurable, match="2 probes of strangers"):
        found.true_identification(0.1)


def test_the_first_recording_of_some_is_enrolled_and_nobody_is_probed_with_it():
    people = np.array([0, 0, 0, 1, 1, 2, 2, 3, -1, 0])
    days = np.array([5, 5, 9, 5, 6, 1, 2, 7, 3, -1])

    found = enrol(people, days, seed=0)

    chosen = set(people[found.gallery])
    assert len(chosen) == 2
    assert chosen < {0, 1, 2}
    for person in chosen:
        rows = np.flatnonzero((people == person) & (days >= 0))
        assert set(days[rows[np.isin(rows, found.gallery)]]) == {days[rows].min()}
    assert sorted([*found.gallery, *found.probes]) == [0, 1, 2, 3, 4, 5, 6, 7]
    assert {frozenset(people[enrol(people, days, seed=s).gallery]) for s in range(8)} != {frozenset(chosen)}


@pytest.mark.parametrize(("people", "days"), [([0, 0, 1], [3, 3, 4]), ([0, 0], [1, 2]), ([-1, -1], [1, 2])])
def test_nobody_to_enrol_or_no_stranger_is_refused(people, days):
    with pytest.raises(NotMeasurable, match="DATA_TOO_FEW"):
        enrol(np.array(people), np.array(days), seed=0)
