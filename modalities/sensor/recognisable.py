"""Transforms of series that an encoder can be asked to recognise, by name (arXiv 1907.11879, section 3.1)."""

from modalities.sensor.amplitude import Jitter, Negation, Rotation, Scaling
from modalities.sensor.timing import Permutation, Reversal, TimeWarp
from modalities.spec import Augment


def recognisable(channels: int) -> dict[str, Augment]:
    """Every transform at a strength that shows; rotation needs channels in triples."""
    found: list[Jitter | Scaling | Negation | Reversal | Permutation | TimeWarp | Rotation] = [
        Jitter(strength=1.0),
        Scaling(strength=0.5),
        Negation(chance=1.0),
        Reversal(chance=1.0),
        Permutation(max_segments=8),
        TimeWarp(strength=0.6),
    ]
    if channels % 3 == 0:
        found.append(Rotation(max_angle_deg=180.0))
    return {each.kind: each for each in found}  # pyright: ignore[reportReturnType] - keeps_time is a ClassVar there
