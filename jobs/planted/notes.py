"""The note stream: what an observer jotted down, in their own words.

Both gestures are named by one of many synonyms, in the order in which they happened, each behind a word of manner; so a
bag of words names the unordered pair, and neighbouring words do not tell which gesture came first.
"""

import numpy as np

from jobs.planted.config import PlantedConfig
from jobs.planted.factors import Event, generator

WORDS = (
    ("lift", "raise", "hoist", "heave", "elevate", "pickup"),
    ("twist", "screw", "wind", "crank", "tighten", "turn"),
    ("lower", "drop", "sink", "setdown", "descend", "release"),
    ("untwist", "unscrew", "unwind", "loosen", "undo", "reverse"),
)
MANNERS = (
    ("gentle", "soft", "light", "easy", "careful"),
    ("steady", "even", "plain", "usual", "normal"),
    ("hard", "strong", "forceful", "firm", "vigorous"),
)
_THINGS = ("box", "jar", "valve", "crate", "handle", "lid", "bar", "drum")
_LINKS = ("then", "and", "followed by", "next", "before", "leading to", "plus", "with")
_CHATTER = (
    "battery was at half",
    "window open again",
    "subject asked for water",
    "good light today",
    "phone rang in the hall",
    "shoes were new",
    "second camera off",
    "table a bit low",
    "talked about the weekend",
    "slight delay at start",
    "room quite warm",
    "strap checked twice",
)


def write_note(event: Event, config: PlantedConfig) -> str:
    """A note of one to four phrases."""
    rng = generator(config, "note", event.key)
    first, second = (
        f"{_manner(event, config, rng)} {_pick(rng, WORDS[gesture])} of {_pick(rng, _THINGS)}" for gesture in event.pair
    )
    said = f"{first} {_pick(rng, _LINKS)} {second}"
    chatter = generator(config, "chatter", event.key)
    before, after = chatter.binomial(1, 0.5 * min(1.0, config.note_chatter)), chatter.poisson(0.7 * config.note_chatter)
    phrases = [_pick(chatter, _CHATTER) for _ in range(min(3, before + after))]
    return ". ".join([*phrases[:before], said, *phrases[before:]]) + "."


def _manner(event: Event, config: PlantedConfig, rng: np.random.Generator) -> str:
    """A word for the effort; without the effort factor, any word of manner."""
    own, other = _pick(rng, MANNERS[event.effort]), _pick(rng, tuple(word for words in MANNERS for word in words))
    return own if rng.random() < config.effort else other


def _pick(rng: np.random.Generator, words: tuple[str, ...]) -> str:
    return words[int(rng.integers(len(words)))]
