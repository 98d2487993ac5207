"""Outlines and colours of which things are composed.

An outline is a closed polygon `[n, 2]` of (x, y), x to the right, y down; a thing fits into -1...1.
"""

from __future__ import annotations

import colorsys
import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

Colour = tuple[float, float, float]
"""Red, green, blue, 0...1."""


class Part(NamedTuple):
    outline: np.ndarray
    colour: Colour


def polygon(*points: tuple[float, float]) -> np.ndarray:
    return np.array(points, dtype=float)


def box(left: float, top: float, right: float, bottom: float) -> np.ndarray:
    return polygon((left, top), (right, top), (right, bottom), (left, bottom))


def ellipse(x: float, y: float, rx: float, ry: float, turn: float = 0.0, corners: int = 20) -> np.ndarray:
    """Returns an ellipse by its centre, half axes and rotation (radians)."""
    angles = [2 * math.pi * k / corners for k in range(corners)]
    across = np.array([(rx * math.cos(a), ry * math.sin(a)) for a in angles])
    return across @ turning(turn).T + (x, y)


def limb(x0: float, y0: float, x1: float, y1: float, width: float, end: float | None = None) -> np.ndarray:
    """Returns a bar from (x0, y0), where it is `width` wide, to (x1, y1), where it is `end` wide, a little longer."""
    end = width if end is None else end
    length = math.hypot(x1 - x0, y1 - y0) or 1.0
    along = np.array([(x1 - x0) / length, (y1 - y0) / length])
    aside = np.array([-along[1], along[0]])
    first, last = np.array([x0, y0]) - along * width / 4, np.array([x1, y1]) + along * end / 4
    return np.array(
        [first + aside * width / 2, first - aside * width / 2, last - aside * end / 2, last + aside * end / 2]
    )


def curve(*points: tuple[float, float], steps: int = 5) -> np.ndarray:
    """Returns a closed Catmull-Rom spline through the points."""
    through = np.array(points, dtype=float)
    before, after, beyond = np.roll(through, 1, 0), np.roll(through, -1, 0), np.roll(through, -2, 0)
    pieces = []
    for t in (k / steps for k in range(steps)):
        pieces.append(
            (2 * through + (after - before) * t)
            + (2 * before - 5 * through + 4 * after - beyond) * t * t
            + (3 * through - before - 3 * after + beyond) * t * t * t
        )
    return np.stack(pieces, axis=1).reshape(-1, 2) / 2


def turning(angle: float) -> np.ndarray:
    cos, sin = math.cos(angle), math.sin(angle)
    return np.array([[cos, -sin], [sin, cos]])


def moved(parts: list[Part], scale: float, x: float, y: float) -> list[Part]:
    return [Part(outline * scale + (x, y), colour) for outline, colour in parts]


def mirrored(outline: np.ndarray, colour: Colour) -> list[Part]:
    """Returns the part and its mirror image across x = 0."""
    return [Part(outline, colour), Part(outline * (-1, 1), colour)]


def eyes(x: float, y: float, size: float, iris: Colour) -> list[Part]:
    """Returns a pair of eyes at -x and x."""
    return [*mirrored(ellipse(x, y, size, size * 0.85), iris), *mirrored(ellipse(x, y, size * 0.45, size * 0.7), DARK)]


def shade(colour: Colour, factor: float) -> Colour:
    red, green, blue = (min(1.0, max(0.0, c * factor)) for c in colour)
    return red, green, blue


def hsv(hue: float, saturation: float, value: float) -> Colour:
    return colorsys.hsv_to_rgb(hue % 1.0, min(1.0, max(0.0, saturation)), min(1.0, max(0.0, value)))


def jitter(rng: np.random.Generator, colour: Colour, hue: float = 0.03, rest: float = 0.12) -> Colour:
    h, s, v = colorsys.rgb_to_hsv(*colour)
    return hsv(h + rng.uniform(-hue, hue), s + rng.uniform(-rest, rest), v + rng.uniform(-rest, rest))


def pick(rng: np.random.Generator, colours: Sequence[Colour]) -> Colour:
    """Returns one of the colours, slightly changed."""
    return jitter(rng, colours[rng.integers(len(colours))])


METALS: list[Colour] = [(0.9, 0.9, 0.92), (0.7, 0.72, 0.75), (0.4, 0.42, 0.45), (0.12, 0.12, 0.14)]
FURS: list[Colour] = [
    (0.45, 0.28, 0.15),
    (0.62, 0.45, 0.28),
    (0.75, 0.62, 0.45),
    (0.5, 0.48, 0.46),
    (0.16, 0.13, 0.12),
    (0.9, 0.87, 0.82),
    (0.7, 0.4, 0.18),
]
GLASS: Colour = (0.2, 0.27, 0.34)
RUBBER: Colour = (0.07, 0.07, 0.08)
DARK: Colour = (0.06, 0.05, 0.05)


def lacquer(rng: np.random.Generator) -> Colour:
    """Returns a colour for vehicles: any hue, or the grey of a metal."""
    if rng.random() < 0.45:
        return pick(rng, METALS)
    return hsv(rng.random(), rng.uniform(0.55, 0.95), rng.uniform(0.45, 0.95))
