"""Places things in scenes and adds what a camera does: light, blur, grain."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from drawing import four_legged, scenery, small_animals, vehicles
from drawing.canvas import Canvas, noise, posed
from drawing.shapes import FURS, Part, ellipse, lacquer, limb, pick

Rng = np.random.Generator
Scene = Callable[[Rng, Canvas], None]


class Thing(NamedTuple):
    """One class: how it is drawn, its label, the scenes where it is usually found, and its largest tilt (radians)."""

    draw: Callable[[Rng], list[Part]]
    label: int
    usual_scenes: Sequence[Scene]
    tilt: float


SCENES: tuple[Scene, ...] = (
    scenery.air,
    scenery.meadow,
    scenery.sea,
    scenery.street,
    scenery.wood,
    scenery.room,
)
THINGS = {
    "airplane": Thing(vehicles.airplane, scenery.VEHICLE, (scenery.air, scenery.street, scenery.meadow), 0.5),
    "bird": Thing(small_animals.bird, scenery.ANIMAL, (scenery.air, scenery.wood, scenery.meadow, scenery.sea), 0.3),
    "car": Thing(vehicles.car, scenery.VEHICLE, (scenery.street, scenery.meadow), 0.15),
    "cat": Thing(four_legged.cat, scenery.ANIMAL, (scenery.room, scenery.meadow), 0.25),
    "deer": Thing(four_legged.deer, scenery.ANIMAL, (scenery.wood, scenery.meadow), 0.15),
    "dog": Thing(four_legged.dog, scenery.ANIMAL, (scenery.room, scenery.meadow, scenery.street), 0.25),
    "frog": Thing(small_animals.frog, scenery.ANIMAL, (scenery.wood, scenery.sea, scenery.room), 0.25),
    "horse": Thing(four_legged.horse, scenery.ANIMAL, (scenery.meadow, scenery.wood), 0.15),
    "ship": Thing(vehicles.ship, scenery.VEHICLE, (scenery.sea,), 0.15),
    "truck": Thing(vehicles.truck, scenery.VEHICLE, (scenery.street, scenery.meadow), 0.15),
}
AT_HOME = 0.5
"""The share of portraits in a usual scene; the others are in any scene, so that scenes do not reveal the class."""


def portrait(rng: Rng, name: str, side: int) -> np.ndarray:
    """Draws one thing in a square image, `[side, side, 3]` uint8, with distractors behind it and sometimes in front."""
    thing, canvas = THINGS[name], Canvas(side, side)
    scenes = thing.usual_scenes if rng.random() < AT_HOME else SCENES
    scenes[rng.integers(len(scenes))](rng, canvas)
    for _ in range(rng.integers(0, 4)):
        canvas.paint(_distractor(rng, side, side * rng.uniform(0.04, 0.16)), thing.label)
    x, y = (side * rng.uniform(0.35, 0.65) for _ in range(2))
    place(rng, canvas, thing, x, y, side * rng.uniform(0.28, 0.5))
    if rng.random() < 0.25:
        canvas.paint(_distractor(rng, side, side * rng.uniform(0.06, 0.14)), thing.label)
    return exposed(rng, canvas.downsampled(), grain=0.02)


def place(
    rng: Rng, canvas: Canvas, thing: Thing, x: float, y: float, size: float
) -> tuple[np.ndarray, list[np.ndarray]]:
    """Draws a thing at (x, y), with `size` pixels from its centre to its end.

    Returns the points it covers, `[H*FINE, W*FINE]` bool, and the outlines of its parts in pixels.
    """
    fur = 1 + rng.uniform(0.1, 0.45) * (noise(rng, canvas.labels.shape, (canvas.height // 2, canvas.width // 2)) - 0.5)
    turn, flip, stretch = rng.uniform(-thing.tilt, thing.tilt), bool(rng.random() < 0.5), rng.uniform(0.85, 1.15)
    parts = posed(thing.draw(rng), x, y, size, turn, flip, stretch)
    covered = np.zeros(canvas.labels.shape, dtype=bool)
    for part in parts:
        covered |= canvas.paint(part, thing.label, fur)
    return covered, [part.outline for part in parts]


def exposed(rng: Rng, image: np.ndarray, grain: float) -> np.ndarray:
    """Turns `[H, W, 3]` 0...1 into uint8 as a camera would: light from one side, exposure, tint, blur, grain."""
    height, width = image.shape[:2]
    down, across = np.linspace(-1, 1, height)[:, None], np.linspace(-1, 1, width)
    light = 1 + rng.uniform(-0.2, 0.2) * down + rng.uniform(-0.2, 0.2) * across
    image = image * light[..., None] * rng.uniform(0.7, 1.2) * rng.uniform(0.9, 1.1, size=3)
    image = (image - 0.45) * rng.uniform(0.7, 1.15) + 0.45
    if rng.random() < 0.4:
        image = _blur(image, rng.uniform(0.1, 0.3))
    image = image + rng.uniform(0, grain) * rng.standard_normal(image.shape)
    return np.clip(np.rint(image * 255), 0, 255).astype(np.uint8)


def _blur(image: np.ndarray, share: float) -> np.ndarray:
    """Blurs: each pixel gives `share` of itself to its neighbours, along one axis and then the other."""
    for axis in (0, 1):
        pad = [(1, 1) if a == axis else (0, 0) for a in range(3)]
        padded, n = np.pad(image, pad, mode="edge"), image.shape[axis]
        before, after = padded.take(range(n), axis), padded.take(range(2, n + 2), axis)
        image = image * (1 - share) + (before + after) * share / 2
    return image


def _distractor(rng: Rng, side: int, size: float) -> Part:
    """Returns something that is not one of the ten classes: a ball or a bar of any colour."""
    x, y = rng.uniform(0, side, size=2)
    colour = lacquer(rng) if rng.random() < 0.5 else pick(rng, FURS)
    if rng.random() < 0.5:
        return Part(ellipse(x, y, size, size * rng.uniform(0.6, 1.4)), colour)
    dx, dy = rng.uniform(-0.6, 0.6, size=2) * side
    return Part(limb(x, y, x + dx, y + dy, size * 0.6), colour)
