"""Scenes: skies, meadows, water, streets, woods and rooms, different at every call."""

from __future__ import annotations

import numpy as np

from drawing.canvas import Canvas, noise
from drawing.shapes import FURS, METALS, Colour, Part, box, ellipse, hsv, jitter, lacquer, limb, pick, polygon, shade

LABELS = ("sky", "ground", "water", "plant", "building", "animal", "vehicle")
SKY, GROUND, WATER, PLANT, BUILDING, ANIMAL, VEHICLE = range(7)

SKIES: list[Colour] = [(0.35, 0.58, 0.88), (0.6, 0.75, 0.92), (0.72, 0.74, 0.78), (0.85, 0.6, 0.45), (0.25, 0.3, 0.5)]
SOILS: list[Colour] = [(0.3, 0.48, 0.18), (0.45, 0.5, 0.22), (0.6, 0.52, 0.32), (0.45, 0.36, 0.26), (0.82, 0.83, 0.86)]
WATERS: list[Colour] = [(0.15, 0.35, 0.55), (0.2, 0.45, 0.5), (0.35, 0.42, 0.48), (0.1, 0.2, 0.32)]
LEAVES: list[Colour] = [
    (0.15, 0.32, 0.12),
    (0.25, 0.4, 0.15),
    (0.4, 0.42, 0.15),
    (0.12, 0.22, 0.14),
    (0.55, 0.35, 0.12),
]


def air(rng: np.random.Generator, canvas: Canvas) -> None:
    """Only sky."""
    _sky(rng, canvas)


def meadow(rng: np.random.Generator, canvas: Canvas) -> None:
    _sky(rng, canvas)
    horizon = canvas.height * rng.uniform(0.2, 0.65)
    for _ in range(rng.integers(0, 4)):
        _tree(rng, canvas, horizon)
    _plain(rng, canvas, horizon, pick(rng, SOILS), GROUND)


def sea(rng: np.random.Generator, canvas: Canvas) -> None:
    _sky(rng, canvas)
    horizon = canvas.height * rng.uniform(0.25, 0.7)
    for _ in range(rng.integers(0, 3)):
        _hill(rng, canvas, horizon)
    _plain(rng, canvas, horizon, pick(rng, WATERS), WATER)


def street(rng: np.random.Generator, canvas: Canvas) -> None:
    _sky(rng, canvas)
    horizon = canvas.height * rng.uniform(0.4, 0.7)
    for _ in range(rng.integers(1, 5)):
        _house(rng, canvas, horizon)
    tar = shade((0.45, 0.45, 0.47), rng.uniform(0.5, 1.5))
    _plain(rng, canvas, horizon, tar, GROUND)
    if rng.random() < 0.5:
        y = rng.uniform(horizon + 2, canvas.height)
        canvas.paint(Part(box(0, y, canvas.width, y + canvas.height * 0.03), shade(tar, 1.7)), GROUND)


def wood(rng: np.random.Generator, canvas: Canvas) -> None:
    """Leaves and trunks up to the top of the image."""
    leaf = pick(rng, LEAVES)
    _fill(rng, canvas, leaf, PLANT, 0.9, (12, 12))
    for _ in range(rng.integers(1, 5)):
        x, wide = rng.uniform(0, canvas.width), canvas.width * rng.uniform(0.03, 0.1)
        canvas.paint(Part(limb(x, 0, x + rng.uniform(-3, 3), canvas.height, wide), pick(rng, FURS[:5])), PLANT)
    _plain(rng, canvas, canvas.height * rng.uniform(0.6, 0.9), pick(rng, SOILS), GROUND)


def room(rng: np.random.Generator, canvas: Canvas) -> None:
    """A wall, a floor and perhaps a piece of furniture."""
    wall = hsv(rng.random(), rng.uniform(0.05, 0.5), rng.uniform(0.35, 0.9))
    _fill(rng, canvas, wall, BUILDING, 0.25, (3, 3))
    height, width = canvas.height, canvas.width
    for _ in range(rng.integers(0, 3)):
        x, y = rng.uniform(0, width), rng.uniform(0.1, 0.6) * height
        canvas.paint(
            Part(box(x, y, x + rng.uniform(0.2, 0.6) * width, y + rng.uniform(0.2, 0.5) * height), lacquer(rng)),
            BUILDING,
        )
    _plain(rng, canvas, height * rng.uniform(0.55, 0.9), pick(rng, FURS), GROUND)


def _fill(
    rng: np.random.Generator, canvas: Canvas, colour: Colour, label: int, rough: float, cells: tuple[int, int]
) -> None:
    texture = 1 + rough * (noise(rng, canvas.labels.shape, cells) - 0.5)
    canvas.image[:] = np.clip(texture[..., None] * colour, 0, 1)
    canvas.labels[:] = label


def _sky(rng: np.random.Generator, canvas: Canvas) -> None:
    zenith = pick(rng, SKIES)
    haze = jitter(rng, shade(zenith, rng.uniform(0.9, 1.4)), rest=0.2)
    down = np.linspace(0, 1, canvas.labels.shape[0])[:, None, None]
    canvas.image[:] = np.array(zenith) * (1 - down) + np.array(haze) * down
    canvas.labels[:] = SKY
    veil = 0.6 * noise(rng, canvas.labels.shape, (4, 3)) + 0.4 * noise(rng, canvas.labels.shape, (9, 6))
    cloud = np.clip((veil - rng.uniform(0.45, 0.9)) * 5, 0, 0.9)[..., None]
    canvas.image[:] = canvas.image * (1 - cloud) + cloud * rng.uniform(0.7, 1.0)


def _plain(rng: np.random.Generator, canvas: Canvas, horizon: float, colour: Colour, label: int) -> None:
    """Paints ground or water from the horizon down, rougher towards the viewer."""
    shape = canvas.labels.shape
    ripples = noise(rng, shape, (canvas.height // 2, canvas.width // (8 if label == WATER else 3)))
    swell = noise(rng, shape, (5, 4))
    texture = 1 + rng.uniform(0.2, 0.8) * (ripples - 0.5) + rng.uniform(0.2, 0.5) * (swell - 0.5)
    slope = rng.uniform(-0.05, 0.05) * canvas.width if label == GROUND else 0.0
    edge = [(0.0, horizon - slope), (float(canvas.width), horizon + slope)]
    bottom = [(float(canvas.width), canvas.height + 1.0), (0.0, canvas.height + 1.0)]
    canvas.paint(Part(polygon(*edge, *bottom), colour), label, texture)


def _tree(rng: np.random.Generator, canvas: Canvas, foot: float) -> None:
    x, high = rng.uniform(0, canvas.width), canvas.height * rng.uniform(0.15, 0.5)
    leaf = pick(rng, LEAVES)
    canvas.paint(Part(limb(x, foot, x, foot - high * 0.6, high * 0.12), pick(rng, FURS[:5])), PLANT)
    for _ in range(4):
        dx, dy = rng.uniform(-0.3, 0.3) * high, rng.uniform(0.5, 1.0) * high
        crown = ellipse(x + dx, foot - dy, high * 0.28, high * 0.24)
        canvas.paint(Part(crown, shade(leaf, rng.uniform(0.7, 1.3))), PLANT)


def _hill(rng: np.random.Generator, canvas: Canvas, foot: float) -> None:
    x, wide = rng.uniform(0, canvas.width), canvas.width * rng.uniform(0.2, 0.7)
    high = canvas.height * rng.uniform(0.04, 0.2)
    canvas.paint(Part(ellipse(x, foot, wide, high), pick(rng, LEAVES + SOILS)), PLANT)


def _house(rng: np.random.Generator, canvas: Canvas, foot: float) -> None:
    left, wide = rng.uniform(-0.1, 0.9) * canvas.width, canvas.width * rng.uniform(0.15, 0.45)
    top = foot - canvas.height * rng.uniform(0.15, 0.6)
    wall = pick(rng, FURS + METALS)
    canvas.paint(Part(box(left, top, left + wide, foot), wall), BUILDING)
    if rng.random() < 0.4:
        gable = polygon((left - 1, top), (left + wide / 2, top - wide * 0.4), (left + wide + 1, top))
        canvas.paint(Part(gable, jitter(rng, (0.5, 0.22, 0.15))), BUILDING)
    glass, pane = shade(wall, rng.choice([0.5, 1.6])), wide / 7
    for column in range(3):
        for row in range(int((foot - top) / (pane * 2))):
            x, y = left + pane * (1 + 2 * column), top + pane * (0.7 + 2 * row)
            canvas.paint(Part(box(x, y, x + pane, y + pane), glass), BUILDING)
