"""The photo stream: two marked objects in a cluttered scene.

Each gesture has a shape. The first gesture's object is filled, the second's is an outline; places, sizes, angles and
colours are random. Which shapes there are names the unordered pair, which of them is filled names the order.
"""

import colorsys

import numpy as np
from PIL import Image, ImageDraw

from jobs.planted.config import PlantedConfig
from jobs.planted.factors import Event, generator

SIZE = 64
_OVERSAMPLE = 2


def render_photo(event: Event, config: PlantedConfig) -> np.ndarray:
    """Pixels (64, 64, 3) uint8."""
    rng = generator(config, "photo", event.key)
    canvas = Image.fromarray(_backdrop(event, config))
    draw = ImageDraw.Draw(canvas)
    _stray_marks(draw, event, config)
    for role, (gesture, centre) in enumerate(zip(event.pair, _places(rng), strict=True)):
        radius = rng.uniform(9.5, 12.5) * (0.85, 1.0, 1.15)[event.effort] ** config.effort
        _shape(draw, _outline(gesture, centre, radius, rng), _colour(rng, bright=True), filled=role == 0)
    pixels = np.asarray(canvas.resize((SIZE, SIZE), Image.Resampling.BOX)).astype(np.float64)
    grain = generator(config, "photo-grain", event.key).normal(0.0, 9.0, pixels.shape) * config.photo_clutter
    return np.clip(pixels + grain, 0, 255).astype(np.uint8)


def _backdrop(event: Event, config: PlantedConfig) -> np.ndarray:
    """A dim colour gradient; the session sets its hue."""
    room = generator(config, "room", event.session).random(2)
    rng = generator(config, "backdrop", event.key)
    hue, slope, angle = rng.random() * 0.3, rng.uniform(0.0, 40.0), rng.uniform(0.0, 2 * np.pi)
    light = 0.325 + 0.15 * (room[1] - 0.5) * config.session_drift
    colour = np.array(colorsys.hsv_to_rgb((hue + room[0] * config.session_drift) % 1.0, 0.5, light))
    axis = np.linspace(-1, 1, SIZE * _OVERSAMPLE)
    ramp = np.cos(angle) * axis[:, None] + np.sin(angle) * axis[None, :]
    return np.clip(colour * 255 + slope * config.photo_clutter * ramp[..., None], 0, 255).astype(np.uint8)


def _stray_marks(draw: ImageDraw.ImageDraw, event: Event, config: PlantedConfig) -> None:
    """Short strokes, the confusable part of the scene."""
    rng = generator(config, "stray", event.key)
    for _ in range(round(6 * config.photo_clutter)):
        start = rng.uniform(0, SIZE, 2)
        stop = start + rng.normal(0.0, 5.0, 2)
        draw.line([tuple(start * _OVERSAMPLE), tuple(stop * _OVERSAMPLE)], fill=_colour(rng, bright=False), width=3)


def _places(rng: np.random.Generator) -> np.ndarray:
    """Two centres (2, 2) in pixels that do not touch, in random order."""
    while True:
        centres = rng.uniform(15, SIZE - 15, (2, 2))
        if np.linalg.norm(centres[0] - centres[1]) > 27:
            return centres


def _outline(gesture: int, centre: np.ndarray, radius: float, rng: np.random.Generator) -> np.ndarray:
    """Polygon (N, 2) in pixels at a random angle: disc, square, triangle or four-pointed star."""
    turn = rng.uniform(0.0, 2 * np.pi)
    corners = (40, 4, 3, 8)[gesture]
    angles = turn + 2 * np.pi * np.arange(corners) / corners
    reach = np.full(corners, radius * (0.9, 1.05, 1.15, 1.2)[gesture])
    if gesture == 3:
        reach[1::2] *= 0.4
    return centre + reach[:, None] * np.stack([np.cos(angles), np.sin(angles)], axis=1)


def _shape(draw: ImageDraw.ImageDraw, outline: np.ndarray, colour: tuple[int, int, int], *, filled: bool) -> None:
    points = [tuple(p) for p in outline * _OVERSAMPLE]
    if filled:
        draw.polygon(points, fill=colour)
    else:
        draw.line([*points, points[0], points[1]], fill=colour, width=2 * _OVERSAMPLE, joint="curve")


def _colour(rng: np.random.Generator, *, bright: bool) -> tuple[int, int, int]:
    value = rng.uniform(0.75, 1.0) if bright else rng.uniform(0.35, 0.7)
    red, green, blue = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.3, 0.9), value)
    return round(red * 255), round(green * 255), round(blue * 255)
