"""The note stream."""

from collections import Counter

import numpy as np

from jobs.planted.config import PlantedConfig
from jobs.planted.factors import draw_events
from jobs.planted.notes import MANNERS, WORDS, write_note

CONFIG = PlantedConfig(num_subjects=8, effort=1.0)
EVENTS = draw_events(CONFIG)
GESTURE_OF = {word: gesture for gesture, words in enumerate(WORDS) for word in words}


def words(note: str) -> list[str]:
    return note.replace(".", " .").split()


def test_gestures_are_named_in_order():
    for event in EVENTS:
        named = [GESTURE_OF[word] for word in words(write_note(event, CONFIG)) if word in GESTURE_OF]

        assert tuple(named) == event.pair


def test_no_word_names_two_gestures_or_belongs_to_two_roles():
    every = [word for group in (*WORDS, *MANNERS) for word in group]

    assert len(set(every)) == len(every)


def test_neighbours_of_a_gesture_word_do_not_tell_its_place():
    """Otherwise word pairs would read the order: the words next to first and second gestures must be alike."""
    beside = {0: Counter(), 1: Counter()}
    for event in EVENTS:
        tokens = words(write_note(event, CONFIG))
        places = [i for i, token in enumerate(tokens) if token in GESTURE_OF]
        for role, place in enumerate(places):
            beside[role].update((tokens[place - 1], tokens[place + 1]))
    first, second = ({word: n / sum(c.values()) for word, n in c.items()} for c in beside.values())

    assert first.keys() == second.keys()
    assert max(abs(first[word] - second[word]) for word in first) < 0.03


def test_chatter_zero_leaves_one_phrase():
    quiet = CONFIG.model_copy(update={"note_chatter": 0.0})

    assert all(write_note(event, quiet).count(".") == 1 for event in EVENTS[:50])
    assert np.mean([write_note(event, CONFIG).count(".") for event in EVENTS]) > 1.5


def test_manner_follows_effort_only_while_effort_shows():
    def agreement(config):
        pairs = [(event, words(write_note(event, config))) for event in EVENTS[:400]]
        return np.mean([any(word in MANNERS[event.effort] for word in tokens) for event, tokens in pairs])

    assert agreement(CONFIG) == 1.0
    assert agreement(CONFIG.model_copy(update={"effort": 0.0})) < 0.75


def test_wording_varies():
    notes = [write_note(event, CONFIG) for event in EVENTS]

    assert len(set(notes)) > 0.95 * len(notes)
