"""The design of the activities: nothing but order tells opposite pairs apart."""

from collections import Counter

from jobs.planted.gestures import ACTIVITIES, GESTURES, LIFT, LOWER, PAIRS


def test_first_eight_activities_use_every_gesture_equally_in_both_roles():
    first, second = (Counter(pair[role] for pair in PAIRS[:8]) for role in (0, 1))

    assert first == second == dict.fromkeys(range(len(GESTURES)), 2)
    assert all(len({LIFT, LOWER} & set(pair)) == 1 for pair in PAIRS[:8])
    assert len(set(PAIRS)) == len(PAIRS)


def test_every_activity_has_its_reverse():
    assert all((second, first) in PAIRS[:8] for first, second in PAIRS[:8])


def test_names_spell_the_pair():
    assert ACTIVITIES[:2] == ("lift_twist", "twist_lift")
    assert len(set(ACTIVITIES)) == len(PAIRS)
