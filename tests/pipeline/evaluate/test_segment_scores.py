"""Scores of segmentations: worked by hand, and against loops that follow the published definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.evaluate.segment_scores import OVERLAPS, SequenceScorer, edit_score, found_segments, segments_of

sequences = st.lists(st.integers(0, 3), min_size=1, max_size=30)


def of(text: str) -> np.ndarray:
    """Digits as classes, ? as unknown."""
    return np.array([-1 if letter == "?" else int(letter) for letter in text])


def distance(one: list[int], other: list[int]) -> int:
    """Levenshtein, by its recursive definition."""
    if not one or not other:
        return len(one) + len(other)
    if one[-1] == other[-1]:
        return distance(one[:-1], other[:-1])
    return 1 + min(distance(one[:-1], other), distance(one, other[:-1]), distance(one[:-1], other[:-1]))


def counted(predicted: list[int], true: list[int], least: float) -> int:
    """True positives, with sets of steps."""
    mine, theirs = _runs(predicted), _runs(true)
    hit = [False] * len(theirs)
    for label, steps in mine:
        overlaps = [len(steps & own) / len(steps | own) * (label == name) for name, own in theirs]
        best = max(range(len(theirs)), key=lambda i: (overlaps[i], -i))
        hit[best] = hit[best] or overlaps[best] >= least
    return sum(hit)


def _runs(sequence: list[int]) -> list[tuple[int, set[int]]]:
    runs: list[tuple[int, set[int]]] = []
    for step, label in enumerate(sequence):
        if runs and runs[-1][0] == label:
            runs[-1][1].add(step)
        else:
            runs.append((label, {step}))
    return runs


@pytest.mark.parametrize(
    ("predicted", "true", "edit"),
    [("001122", "001122", 1.0), ("000122", "011112", 1.0), ("001011", "001111", 0.5), ("333333", "001122", 0.0)],
)
def test_edit_score_sees_order_and_not_length(predicted: str, true: str, edit: float) -> None:
    assert edit_score(segments_of(of(predicted)), segments_of(of(true))) == pytest.approx(edit)


@given(st.lists(st.integers(0, 2), min_size=1, max_size=7), st.lists(st.integers(0, 2), min_size=1, max_size=7))
def test_edit_score_is_that_of_its_definition(one: list[int], other: list[int]) -> None:
    mine, theirs = segments_of(np.array(one)), segments_of(np.array(other))
    a, b = mine.classes.tolist(), theirs.classes.tolist()

    assert edit_score(mine, theirs) == pytest.approx(1 - distance(a, b) / max(len(a), len(b)))


@given(st.integers(1, 30).flatmap(lambda n: st.tuples(*[st.lists(st.integers(0, 2), min_size=n, max_size=n)] * 2)))
def test_found_segments_are_those_of_sets_of_steps(pair: tuple[list[int], list[int]]) -> None:
    predicted, true = pair
    for percent in OVERLAPS:
        found = found_segments(segments_of(np.array(predicted)), segments_of(np.array(true)), least=percent / 100)
        assert found == counted(predicted, true, percent / 100)


def test_scores_by_hand() -> None:
    scorer = SequenceScorer(3)
    scorer.add(of("0000011111"), of("0000111111"))  # both segments overlap by 4/5 and 5/6
    scorer.add(of("0100"), of("0000"))  # one of three is found: 2/4

    scores = scorer.scores()

    assert scores.accuracy == pytest.approx(12 / 14)
    assert scores.edit == pytest.approx((1 + 1 / 3) / 2)
    assert scores.f1_at == pytest.approx({10: 2 * 3 / 8, 25: 2 * 3 / 8, 50: 2 * 3 / 8})
    f1_of_0, f1_of_1 = 2 * 7 / (2 * 7 + 1 + 1), 2 * 5 / (2 * 5 + 1 + 1)
    assert scores.f1_macro == pytest.approx((f1_of_0 + f1_of_1) / 2), "a class that never occurs does not count"
    assert (scorer.right, scorer.steps) == ([9, 3], [10, 4])


def test_oversegmentation_keeps_the_frames_and_loses_the_segments() -> None:
    clean, split = SequenceScorer(2), SequenceScorer(2)
    clean.add(of("00000000001111111111"), of("00000000011111111111"))
    split.add(of("00000000001111101111"), of("00000000001111111111"))

    assert clean.scores().accuracy == split.scores().accuracy == pytest.approx(0.95)
    assert clean.scores().edit > split.scores().edit
    assert clean.scores().f1_at[50] > split.scores().f1_at[50]


def test_steps_of_unknown_class_do_not_count() -> None:
    known, gaps = SequenceScorer(3), SequenceScorer(3)
    known.add(of("001122"), of("001112"))
    gaps.add(of("0201112221"), of("0?0?1112??"))

    assert known.scores() == gaps.scores()
    assert gaps.steps == [6]


@given(sequences)
def test_a_perfect_segmentation_has_no_error(sequence: list[int]) -> None:
    scorer = SequenceScorer(4)
    scorer.add(np.array(sequence), np.array(sequence))

    scores = scorer.scores()

    assert (scores.accuracy, scores.edit, set(scores.f1_at.values())) == (1.0, 1.0, {1.0})
