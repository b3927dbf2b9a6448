"""The gestures and the activities built from them.

An activity is an ordered pair of gestures. With the first eight every pair holds one lifting gesture (lift, lower)
and one turning gesture (twist, untwist), and every gesture occurs as often first as second: energies, spectra, moments,
shapes in a photo and words in a note name at most the unordered pair, 4 of 8 classes; only the order tells them apart.
"""

LIFT, TWIST, LOWER, UNTWIST = range(4)
GESTURES = ("lift", "twist", "lower", "untwist")

PAIRS = (
    (LIFT, TWIST),
    (TWIST, LIFT),
    (TWIST, LOWER),
    (LOWER, TWIST),
    (LOWER, UNTWIST),
    (UNTWIST, LOWER),
    (UNTWIST, LIFT),
    (LIFT, UNTWIST),
    (LIFT, LOWER),
    (LOWER, LIFT),
    (TWIST, UNTWIST),
    (UNTWIST, TWIST),
)
ACTIVITIES = tuple(f"{GESTURES[first]}_{GESTURES[second]}" for first, second in PAIRS)
EFFORTS = ("light", "steady", "hard")
