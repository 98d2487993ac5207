"""Cats, deer, dogs and horses, in two views each: every call draws a different one, with its own build and fur."""

from __future__ import annotations

import numpy as np

from drawing.shapes import (
    DARK,
    FURS,
    Colour,
    Part,
    curve,
    ellipse,
    eyes,
    hsv,
    jitter,
    limb,
    mirrored,
    moved,
    pick,
    polygon,
    shade,
)

PINK: Colour = (0.75, 0.45, 0.42)


def cat(rng: np.random.Generator) -> list[Part]:
    return _cat_sitting(rng) if rng.random() < 0.5 else _cat_face(rng)


def deer(rng: np.random.Generator) -> list[Part]:
    return _deer_standing(rng) if rng.random() < 0.65 else _deer_face(rng)


def dog(rng: np.random.Generator) -> list[Part]:
    return _dog_standing(rng) if rng.random() < 0.5 else _dog_face(rng)


def horse(rng: np.random.Generator) -> list[Part]:
    return _horse_standing(rng) if rng.random() < 0.65 else _horse_head(rng)


def _cat_face(rng: np.random.Generator) -> list[Part]:
    return _cat_head(rng, pick(rng, FURS))


def _cat_sitting(rng: np.random.Generator) -> list[Part]:
    fur = pick(rng, FURS)
    fat, tail = rng.uniform(0.36, 0.5), rng.uniform(-0.1, 0.5)
    paws = shade(fur, 1.2)
    return [
        Part(limb(-0.3, 0.85, -0.75, 0.75, 0.17, 0.15), shade(fur, 0.8)),
        Part(limb(-0.75, 0.75, -0.85, tail, 0.15, 0.1), shade(fur, 0.8)),
        Part(curve((-0.12, -0.3), (0.25, -0.3), (fat, 0.4), (0.4, 0.95), (-0.45, 0.95), (-fat, 0.5)), fur),
        Part(ellipse(-0.25, 0.75, 0.25, 0.22), shade(fur, 0.85)),
        *[Part(limb(x, 0.3, x, 0.9, 0.14, 0.16), paws) for x in (0.08, 0.28)],
        *moved(_cat_head(rng, fur), rng.uniform(0.44, 0.54), 0.1, -0.45),
    ]


def _cat_head(rng: np.random.Generator, fur: Colour) -> list[Part]:
    wide, ear = rng.uniform(0.78, 0.92), rng.uniform(0.5, 0.72)
    stripes = shade(fur, 0.6)
    parts = [
        *mirrored(polygon((0.25, -0.45), (0.7, -0.4 - ear), (wide - 0.02, -0.1)), fur),
        *mirrored(polygon((0.4, -0.45), (0.66, -0.28 - ear), (0.74, -0.22)), PINK),
        Part(ellipse(0, 0.08, wide, 0.7), fur),
    ]
    if rng.random() < 0.6:
        parts += [Part(limb(x, -0.58, x * 0.7, -0.3, 0.09, 0.03), stripes) for x in (-0.22, 0.0, 0.22)]
        parts += mirrored(limb(wide - 0.05, 0.1, 0.55, 0.15, 0.08, 0.02), stripes)
    iris = hsv(rng.uniform(0.12, 0.4), 0.6, 0.8)
    return [
        *parts,
        Part(ellipse(0, 0.38, 0.34, 0.24), shade(fur, 1.3)),
        *eyes(0.34, 0.0, 0.16, iris),
        Part(polygon((-0.1, 0.2), (0.1, 0.2), (0, 0.32)), PINK),
        Part(limb(0, 0.32, 0, 0.44, 0.04), DARK),
        *mirrored(limb(0.25, 0.35, 0.95, 0.28, 0.03), shade(fur, 1.6)),
    ]


def _dog_face(rng: np.random.Generator) -> list[Part]:
    fur = pick(rng, FURS)
    ears = shade(fur, rng.uniform(0.45, 0.8)) if rng.random() < 0.7 else pick(rng, FURS)
    drop, wide, snout = rng.uniform(0.15, 0.5), rng.uniform(0.55, 0.68), shade(fur, rng.uniform(0.9, 1.4))
    parts = [
        Part(
            curve(
                (-wide, -0.45),
                (0, -0.75),
                (wide, -0.45),
                (wide * 0.95, 0.25),
                (0.35, 0.75),
                (-0.35, 0.75),
                (-wide * 0.95, 0.25),
            ),
            fur,
        ),
        *mirrored(curve((wide - 0.2, -0.6), (wide + 0.2, -0.55), (wide + 0.32, drop), (wide + 0.05, drop + 0.1)), ears),
        Part(ellipse(0, 0.4, 0.38, 0.36), snout),
        *eyes(0.28, -0.15, 0.1, (0.3, 0.18, 0.1)),
        Part(ellipse(0, 0.22, 0.19, 0.13), DARK),
        Part(limb(0, 0.3, 0, 0.52, 0.04), DARK),
    ]
    if rng.random() < 0.5:
        parts.append(Part(ellipse(0, 0.66, 0.13, 0.2), PINK))
    return parts


def _dog_standing(rng: np.random.Generator) -> list[Part]:
    fur = pick(rng, FURS)
    ear = shade(fur, rng.uniform(0.5, 0.8))
    foot, fat, wag = rng.uniform(0.55, 0.8), rng.uniform(0.2, 0.3), rng.uniform(-0.75, -0.3)
    hx, hy = rng.uniform(0.6, 0.7), rng.uniform(-0.55, -0.35)
    return [
        *_legs(rng, [-0.45, 0.38], 0.1, foot, 0.12, fur),
        Part(limb(-0.5, -0.1, -0.92, wag, 0.13, 0.06), shade(fur, 0.85)),
        Part(
            curve((-0.6, -0.15), (0, -0.15), (0.5, -0.25), (0.55, 0.1), (0.1, fat), (-0.4, fat * 0.7), (-0.62, 0.1)),
            fur,
        ),
        Part(limb(0.42, -0.1, hx - 0.08, hy, 0.36, 0.28), fur),
        Part(ellipse(hx, hy, 0.23, 0.2), fur),
        Part(limb(hx + 0.08, hy + 0.05, hx + 0.34, hy + 0.1, 0.22, 0.15), shade(fur, 1.15)),
        Part(ellipse(hx + 0.38, hy + 0.06, 0.06, 0.05), DARK),
        Part(ellipse(hx + 0.08, hy - 0.06, 0.04, 0.04), DARK),
        Part(curve((hx - 0.16, hy - 0.18), (hx + 0.02, hy - 0.12), (hx - 0.05, hy + 0.22), (hx - 0.2, hy + 0.18)), ear),
    ]


def _deer_standing(rng: np.random.Generator) -> list[Part]:
    fur, horn = _deer_coat(rng), jitter(rng, (0.5, 0.38, 0.25))
    hx, hy, high = rng.uniform(0.58, 0.72), rng.uniform(-0.55, -0.4), rng.uniform(0.4, 0.55)
    parts = _legs(rng, [-0.42, 0.3], 0.15, rng.uniform(0.85, 0.95), 0.08, fur)
    if rng.random() < 0.75:
        for lean, tone in ((-0.55, 0.7), (0.3, 1.0)):
            parts += [Part(outline, shade(horn, tone)) for outline in _antler(hx - 0.04, hy - 0.1, high, lean)]
    parts += [
        Part(polygon((-0.55, -0.05), (-0.68, 0.0), (-0.66, 0.2), (-0.55, 0.15)), (0.92, 0.9, 0.86)),
        Part(curve((-0.58, -0.1), (0, -0.12), (0.42, -0.15), (0.45, 0.15), (0, 0.24), (-0.5, 0.22)), fur),
        Part(limb(-0.35, 0.2, 0.3, 0.2, 0.07), shade(fur, 1.35)),
        Part(limb(0.34, -0.02, hx - 0.04, hy, 0.28, 0.17), fur),
        Part(limb(hx - 0.1, hy - 0.06, hx - 0.32, hy - 0.14, 0.11, 0.03), shade(fur, 0.8)),
        Part(limb(hx - 0.06, hy - 0.03, hx + 0.24, hy + 0.1, 0.2, 0.1), fur),
        Part(ellipse(hx + 0.26, hy + 0.1, 0.04, 0.04), DARK),
        Part(ellipse(hx + 0.04, hy - 0.03, 0.03, 0.03), DARK),
    ]
    if rng.random() < 0.4:
        parts += [
            Part(ellipse(x, rng.uniform(-0.04, 0.08), 0.03, 0.025), (0.92, 0.9, 0.86))
            for x in (-0.4, -0.25, -0.1, 0.05, 0.2)
        ]
    return parts


def _deer_face(rng: np.random.Generator) -> list[Part]:
    fur, horn = _deer_coat(rng), jitter(rng, (0.5, 0.38, 0.25))
    high, ear, jaw = rng.uniform(0.6, 0.85), rng.uniform(0.15, 0.4), rng.uniform(0.18, 0.25)
    parts = [Part(limb(0, 0.3, 0, 1.0, 0.5, 0.8), shade(fur, 0.85))]
    for outline in _antler(0.12, -0.2, high, 0.7):
        parts += mirrored(outline, horn)
    return [
        *parts,
        *mirrored(curve((0.25, -0.12), (0.55, -0.1 - ear), (0.85, -0.05 - ear), (0.6, 0.08)), shade(fur, 0.85)),
        Part(
            curve(
                (-0.3, -0.2), (0, -0.32), (0.3, -0.2), (0.3, 0.15), (jaw, 0.65), (0, 0.75), (-jaw, 0.65), (-0.3, 0.15)
            ),
            fur,
        ),
        Part(ellipse(0, 0.58, jaw * 0.9, 0.16), shade(fur, 1.3)),
        Part(ellipse(0, 0.62, 0.11, 0.08), DARK),
        *eyes(0.22, 0.05, 0.08, DARK),
    ]


def _deer_coat(rng: np.random.Generator) -> Colour:
    return jitter(rng, FURS[rng.integers(3)])


def _antler(x: float, y: float, high: float, lean: float) -> list[np.ndarray]:
    """Returns an antler: a beam and three tines, leaning to the side."""
    tip = x + lean * 0.55, y - high
    mid = x + lean * 0.5, y - high * 0.55
    return [
        limb(x, y, *mid, 0.08, 0.06),
        limb(*mid, *tip, 0.06, 0.03),
        limb(x + lean * 0.3, y - high * 0.35, x - lean * 0.05, y - high * 0.65, 0.05, 0.03),
        limb(*mid, x + lean * 0.95, y - high * 0.7, 0.05, 0.03),
    ]


def _horse_standing(rng: np.random.Generator) -> list[Part]:
    fur = pick(rng, FURS)
    mane = shade(fur, 0.4) if rng.random() < 0.6 else pick(rng, FURS)
    hx, hy, tail = rng.uniform(0.66, 0.76), rng.uniform(-0.72, -0.5), rng.uniform(0.3, 0.6)
    return [
        *_legs(rng, [-0.48, 0.34], 0.15, rng.uniform(0.85, 0.98), 0.12, fur),
        Part(curve((-0.6, -0.2), (-0.78, -0.1), (-0.9, tail), (-0.74, tail + 0.08), (-0.64, 0.1)), mane),
        Part(
            curve((-0.65, -0.15), (-0.4, -0.26), (0, -0.15), (0.45, -0.22), (0.52, 0.1), (0, 0.26), (-0.5, 0.24)), fur
        ),
        Part(limb(0.36, -0.02, hx - 0.06, hy, 0.44, 0.24), fur),
        Part(limb(0.2, -0.2, hx - 0.2, hy - 0.08, 0.16, 0.14), mane),
        Part(limb(hx - 0.08, hy - 0.02, hx + 0.24, hy + 0.3, 0.26, 0.16), fur),
        Part(polygon((hx - 0.12, hy - 0.08), (hx - 0.08, hy - 0.28), (hx + 0.02, hy - 0.1)), shade(fur, 0.8)),
        Part(ellipse(hx + 0.24, hy + 0.3, 0.1, 0.09), shade(fur, 0.7)),
        Part(ellipse(hx + 0.02, hy + 0.0, 0.035, 0.035), DARK),
    ]


def _horse_head(rng: np.random.Generator) -> list[Part]:
    fur = pick(rng, FURS)
    mane = shade(fur, 0.4) if rng.random() < 0.6 else pick(rng, FURS)
    nose, blaze = rng.uniform(0.65, 0.85), rng.random() < 0.4
    parts = [
        Part(curve((-0.95, 1.0), (-0.75, 0.1), (-0.35, -0.55), (-0.1, -0.75), (-0.05, -0.2), (-0.45, 1.0)), mane),
        Part(polygon((-0.75, 1.0), (-0.5, 0.0), (-0.2, -0.55), (0.2, -0.1), (0.0, 0.35), (0.15, 1.0)), fur),
        Part(polygon((-0.22, -0.5), (-0.12, -0.98), (0.02, -0.55)), shade(fur, 0.8)),
        Part(
            curve(
                (-0.25, -0.5),
                (0.1, -0.6),
                (0.45, -0.25),
                (nose + 0.1, 0.25),
                (nose, 0.5),
                (nose - 0.2, 0.45),
                (0.1, 0.2),
                (-0.2, -0.1),
            ),
            fur,
        ),
        Part(ellipse(nose - 0.02, 0.36, 0.17, 0.15), shade(fur, 0.7)),
        Part(ellipse(nose + 0.04, 0.32, 0.04, 0.05), DARK),
        Part(ellipse(0.12, -0.28, 0.07, 0.06), DARK),
    ]
    if blaze:
        parts.append(Part(limb(0.2, -0.5, nose + 0.02, 0.16, 0.12, 0.08), (0.92, 0.9, 0.87)))
    return parts


def _legs(rng: np.random.Generator, at: list[float], top: float, foot: float, width: float, fur: Colour) -> list[Part]:
    """Returns four legs in two pairs; those on the far side are darker and come first."""
    parts = []
    for tone in (0.65, 0.95):
        for x in at:
            toe = x + rng.uniform(-0.14, 0.14)
            knee = (x + toe) / 2 + rng.uniform(-0.05, 0.05), (top + foot) / 2
            parts.append(Part(limb(x, top, *knee, width * 1.4, width), shade(fur, tone)))
            parts.append(Part(limb(*knee, toe, foot, width, width * 0.8), shade(fur, tone * 0.9)))
    return parts
